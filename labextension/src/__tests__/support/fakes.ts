/** A workspace without a server or a kernel, for what is built on IMLOps. */
import { Signal } from '@lumino/signaling';

import type { ICommands } from '../../contract';
import type { IResults, IStatus } from '../../records';
import type {
  IAct,
  IAnswer,
  IChange,
  IMLOps,
  KernelState,
  MlopsError,
  Verb
} from '../../tokens';

/** A status with nothing going on. */
export const STATUS: IStatus = {
  workspace: '/projects/churn',
  name: 'churn',
  why: 'mlops.toml',
  tracking: 'sqlite:///.mlops/mlflow.db',
  experiment: 'churn',
  active_run: null,
  latest_snapshot: null,
  backlog: 0,
  open_requests: 0,
  alerts: 0
};

type Answers = { [V in Verb]?: IResults[V] | (() => Promise<IResults[V]>) };

/** Answers from a table and remembers what it was asked. */
export class FakeMLOps implements IMLOps {
  constructor(readonly answers: Answers = {}) {}

  notebook: string | null = 'train.ipynb';
  kernel: KernelState = 'idle';
  status: IStatus | null = STATUS;
  error: MlopsError | null = null;
  selectedRun: string | null = null;
  readonly changed: Signal<IMLOps, IChange> = new Signal<IMLOps, IChange>(this);
  readonly moved: Signal<IMLOps, void> = new Signal<IMLOps, void>(this);
  readonly located: Signal<IMLOps, boolean> = new Signal<IMLOps, boolean>(this);
  readonly selected: Signal<IMLOps, string | null> = new Signal<IMLOps, string | null>(this);
  readonly acted: Signal<IMLOps, IAct> = new Signal<IMLOps, IAct>(this);
  readonly calls: { verb: Verb; args: object }[] = [];

  async call<V extends Verb>(verb: V, args: ICommands[V]): Promise<IAnswer<IResults[V]>> {
    this.calls.push({ verb, args });
    const answer = this.answers[verb];
    const result = typeof answer === 'function' ? await answer() : answer;
    return { ok: true, result: result as IResults[V] };
  }

  async locate(): Promise<boolean> {
    return false;
  }

  async refresh(): Promise<void> {
    this.changed.emit({ topic: 'all' });
  }

  select(run: string | null): void {
    this.selectedRun = run;
    this.selected.emit(run);
  }

  /** How often a verb was called. */
  count(verb: Verb): number {
    return this.calls.filter(call => call.verb === verb).length;
  }
}

/** Let what is already promised come to pass. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    await Promise.resolve();
  }
}
