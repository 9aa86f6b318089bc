/** The one implementation of IMLOps. */
import { Signal, type ISignal } from '@lumino/signaling';

import type { IKernelDoor } from './comm';
import { COMMANDS, type ICommands } from './contract';
import { Jobs } from './jobs';
import type { IPlace } from './place';
import type { IResults, IStatus } from './records';
import type { IServer } from './request';
import {
  MlopsError,
  type IAct,
  type IAnswer,
  type IChange,
  type IMLOps,
  type KernelState,
  type Topic,
  type Verb
} from './tokens';

/** The schema of the events by which the server tells of changes. */
export const CHANGE_EVENT = 'https://mlops-jupyter.github.io/events/change/v1';

/** What each verb that changes something may have changed. */
const TOUCHES: { readonly [V in Verb]?: Topic } = {
  snapshot: 'snapshots',
  restore: 'snapshots',
  promote: 'models',
  'pipeline run': 'pipelines'
};

/** The parts that the service joins. */
export interface IParts {
  server: IServer;
  kernel: IKernelDoor;
  place: IPlace;
  /** The server's event bus. */
  events: ISignal<unknown, { schema_id: string }>;
}

/** Chooses, for each verb, the server or the kernel by what the verb needs. */
export class MLOps implements IMLOps {
  constructor(private readonly _parts: IParts) {
    this._jobs = new Jobs(_parts.server);
    _parts.events.connect(this._onEvent, this);
    _parts.place.changed.connect(() => this._moved.emit(), this);
  }

  get notebook(): string | null {
    return this._parts.place.notebook;
  }

  get kernel(): KernelState {
    return this._parts.place.state;
  }

  get status(): IStatus | null {
    return this._status;
  }

  get error(): MlopsError | null {
    return this._error;
  }

  get selectedRun(): string | null {
    return this._selectedRun;
  }

  get changed(): ISignal<IMLOps, IChange> {
    return this._changed;
  }

  get moved(): ISignal<IMLOps, void> {
    return this._moved;
  }

  get located(): ISignal<IMLOps, boolean> {
    return this._located;
  }

  get selected(): ISignal<IMLOps, string | null> {
    return this._selected;
  }

  get acted(): ISignal<IMLOps, IAct> {
    return this._acted;
  }

  async call<V extends Verb>(verb: V, args: ICommands[V]): Promise<IAnswer<IResults[V]>> {
    this._tell({ verb, args, phase: 'begun' });
    try {
      const answer = await this._carryOut(verb, args);
      this._tell({ verb, args, phase: 'ended', answer });
      return answer as IAnswer<IResults[V]>;
    } catch (reason) {
      const error = toMlopsError(reason);
      this._tell({ verb, args, phase: 'ended', error });
      throw error;
    }
  }

  async locate(): Promise<boolean> {
    const asked = ++this._asked;
    const notebook = this.notebook;
    const before = this._status?.workspace ?? null;
    let status: IStatus | null = null;
    let error: MlopsError | null = null;
    try {
      status = (await this.call('status', {})).result;
    } catch (reason) {
      error = toMlopsError(reason);
      // A server that does not answer for a moment does not make what is shown wrong.
      status = notebook === this._locatedFor ? this._status : null;
    }
    if (asked !== this._asked) {
      return false; // A newer question is on its way; its answer counts.
    }
    this._locatedFor = notebook;
    this._status = status;
    this._error = error;
    const elsewhere = before !== (status?.workspace ?? null);
    if (elsewhere) {
      this.select(null);
    }
    this._located.emit(elsewhere);
    return elsewhere;
  }

  async refresh(): Promise<void> {
    // On being elsewhere everyone loads by themselves; and a server that could not say where we
    // are would only repeat its error to each of them.
    if (!(await this.locate()) && !this._error) {
      this._changed.emit({ topic: 'all' });
    }
  }

  select(run: string | null): void {
    if (run !== this._selectedRun) {
      this._selectedRun = run;
      this._selected.emit(run);
    }
  }

  private async _carryOut(verb: Verb, args: object): Promise<IAnswer> {
    if (COMMANDS[verb].needs === 'session') {
      return this._askKernel(verb, args);
    }
    const answer = await this._parts.server.call(verb, { ...args, ...this._where() });
    if (!('job' in answer)) {
      return answer;
    }
    return this._jobs.follow(answer.job, message =>
      this._tell({ verb, args, phase: 'progress', message })
    );
  }

  private _askKernel(verb: Verb, args: object): Promise<IAnswer> {
    const kernel = this._parts.place.kernel;
    if (!kernel) {
      throw new MlopsError(
        'There is no kernel to ask.',
        'Open a notebook and start its kernel, then try again.'
      );
    }
    return this._parts.kernel.call(kernel, verb, args);
  }

  private _where(): { notebook?: string } {
    return this.notebook === null ? {} : { notebook: this.notebook };
  }

  private _tell(act: IAct): void {
    const topic = TOUCHES[act.verb];
    if (topic) {
      this._acted.emit(act);
    }
    if (topic && act.phase === 'ended') {
      this._changed.emit({ topic });
    }
  }

  private _onEvent(_: unknown, event: { schema_id: string }): void {
    if (event.schema_id !== CHANGE_EVENT) {
      return;
    }
    const change = event as unknown as IChange;
    this._jobs.notice(change);
    const here = this._status?.workspace;
    if (!change.workspace || !here || change.workspace === here) {
      this._changed.emit(change);
    }
  }

  private readonly _jobs: Jobs;
  private readonly _changed = new Signal<IMLOps, IChange>(this);
  private readonly _moved = new Signal<IMLOps, void>(this);
  private readonly _located = new Signal<IMLOps, boolean>(this);
  private readonly _selected = new Signal<IMLOps, string | null>(this);
  private readonly _acted = new Signal<IMLOps, IAct>(this);
  private _status: IStatus | null = null;
  private _error: MlopsError | null = null;
  private _selectedRun: string | null = null;
  private _locatedFor: string | null = null;
  private _asked = 0;
}

/** Whatever was thrown, as an error with a message and a hint. */
function toMlopsError(reason: unknown): MlopsError {
  if (reason instanceof MlopsError) {
    return reason;
  }
  const message = reason instanceof Error ? reason.message : String(reason);
  return new MlopsError(message, 'This is a fault of the extension; reload the page.');
}
