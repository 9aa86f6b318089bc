/** The contracts: what the parts of the extension promise one another. */
import type { VDomRenderer } from '@jupyterlab/ui-components';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { ICommands } from './contract';
import type { IResults, IStatus } from './records';

/** The ids of the commands; every click in the sidebar executes one of them. */
export const CommandIDs = {
  open: 'mlops:open',
  promote: 'mlops:promote',
  refresh: 'mlops:refresh',
  restore: 'mlops:restore',
  runPipeline: 'mlops:run-pipeline',
  selectRun: 'mlops:select-run',
  snapshot: 'mlops:snapshot'
} as const;

/** The verbs that the front end uses. */
export type Verb = keyof IResults & keyof ICommands;

/** A carried-out request; `ok` is false when the answer is no, as with a refused promotion. */
export interface IAnswer<R = unknown> {
  ok: boolean;
  result: R;
}

/** A request that was not carried out: what is wrong, and what to do about it. */
export class MlopsError extends Error {
  constructor(
    message: string,
    readonly hint: string = '',
    readonly status: number | null = null
  ) {
    super(message);
    this.name = 'MlopsError';
  }
}

/** What can change in a workspace; `all` stands for any of them. */
export type Topic = 'runs' | 'snapshots' | 'models' | 'pipelines' | 'job' | 'all';

/** A change that the server told of, or that this page made. */
export interface IChange {
  topic: Topic;
  workspace?: string;
  job?: string;
  state?: string;
  verb?: string;
  message?: string;
  /** Of a pipeline that is running: its name, the step that the state is of, and how many are done. */
  pipeline?: string;
  step?: string | null;
  done?: number | null;
  total?: number | null;
}

/** A verb that changes something, called from this page: begun, under way or ended. */
export interface IAct {
  verb: Verb;
  args: object;
  phase: 'begun' | 'progress' | 'ended';
  /** How far it has come, in the phase `progress`. */
  message?: string;
  /** How it ended: one of these two is there in the phase `ended`. */
  answer?: IAnswer;
  error?: MlopsError;
}

/** Whether the current notebook has a kernel to ask. */
export type KernelState = 'none' | 'idle' | 'busy';

/** The workspace of the current notebook, and the verbs that act on it. */
export interface IMLOps {
  /** Path of the current notebook relative to the server's root, or null. */
  readonly notebook: string | null;
  /** Whether the current notebook has a kernel to ask. */
  readonly kernel: KernelState;
  /** The workspace in use; null until known. */
  readonly status: IStatus | null;
  /** Why the workspace is not known. */
  readonly error: MlopsError | null;
  /** The run that the user looks at, or null. */
  readonly selectedRun: string | null;
  /** Emitted when rows may differ from those shown. */
  readonly changed: ISignal<IMLOps, IChange>;
  /** Emitted when another notebook or kernel state became current. */
  readonly moved: ISignal<IMLOps, void>;
  /** Emitted when `status` or `error` was renewed; the argument says whether the workspace is another one. */
  readonly located: ISignal<IMLOps, boolean>;
  /** Emitted when another run was selected. */
  readonly selected: ISignal<IMLOps, string | null>;
  /** Emitted as a call that changes something goes on, whoever made it. */
  readonly acted: ISignal<IMLOps, IAct>;
  /** Carry out a verb in the server or the kernel; rejects with an MlopsError. */
  call<V extends Verb>(verb: V, args: ICommands[V]): Promise<IAnswer<IResults[V]>>;
  /** Ask which workspace the current notebook belongs to; true when it is another one than before. */
  locate(): Promise<boolean>;
  /** Locate, and tell everyone to load again. */
  refresh(): Promise<void>;
  /** Select a run, or none. */
  select(run: string | null): void;
}

/** Provides the workspace of the current notebook and its verbs. */
export const IMLOps = new Token<IMLOps>(
  '@mlops-jupyter/lab:IMLOps',
  'The MLOps workspace of the current notebook: its state, its changes and its verbs.'
);

/** The model of a section: it loads only while active. */
export interface ISectionModel extends VDomRenderer.IModel {
  active: boolean;
}

/** A section of the sidebar. */
export interface ISection extends Widget {
  readonly model: ISectionModel;
}

/** The place where sections are added. */
export interface ISidebar {
  /** Add a section; those with a lower rank come first. */
  add(section: ISection, rank: number): void;
}

/** Provides the sidebar, so that a section can be a plugin of its own. */
export const ISidebar = new Token<ISidebar>(
  '@mlops-jupyter/lab:ISidebar',
  'The MLOps sidebar, to which sections are added.'
);
