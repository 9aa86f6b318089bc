/** Following the work that the server does in the background. */
import type { IJob, IServer } from './request';
import { MlopsError, type IAnswer, type IChange } from './tokens';

type Wake = (change: IChange | null) => void;

/** Waits for jobs: told by events, and asking now and then in case one was missed. */
export class Jobs {
  constructor(
    private readonly _server: IServer,
    private readonly _interval = 5_000
  ) {}

  /** Take note of an event. */
  notice(change: IChange): void {
    if (change.job) {
      this._waiting.get(change.job)?.forEach(wake => wake(change));
    }
  }

  /** Wait for a job's answer, passing on what events say meanwhile; rejects with the job's error. */
  async follow(job: string, progress: (message: string) => void): Promise<IAnswer> {
    for (;;) {
      const next = this._next(job);
      const state = await this._server.job(job);
      if (state.state !== 'running') {
        next.cancel();
        return readJob(state);
      }
      const change = await next.change;
      if (change?.message) {
        progress(change.message);
      }
    }
  }

  private _next(job: string): { change: Promise<IChange | null>; cancel: () => void } {
    const wakes = this._waiting.get(job) ?? new Set<Wake>();
    this._waiting.set(job, wakes);
    let cancel = () => {};
    const change = new Promise<IChange | null>(resolve => {
      const wake: Wake = change => {
        clearTimeout(timer);
        wakes.delete(wake);
        resolve(change);
      };
      const timer = setTimeout(() => wake(null), this._interval);
      wakes.add(wake);
      cancel = () => wake(null);
    });
    return { change, cancel };
  }

  private readonly _waiting = new Map<string, Set<Wake>>();
}

function readJob(job: IJob): IAnswer {
  if (job.state === 'failed') {
    throw new MlopsError(
      job.error?.message ?? 'The job failed without a reason.',
      job.error?.hint ?? ''
    );
  }
  return { ok: job.ok !== false, result: job.result };
}
