import { Listing } from '../../listing';
import type { IPipelineResult, IPipelineRun } from '../../records';
import type { IAct, IChange, IMLOps, MlopsError } from '../../tokens';

/** One pipeline file with its past runs, newest first. */
export interface IPipeline {
  name: string;
  file: string;
  runs: IPipelineRun[];
}

/** What a run started from this page is at, or came to. */
export interface IProgress {
  running: boolean;
  text?: string;
  result?: IPipelineResult;
  error?: MlopsError;
}

/** The pipelines that have run in the workspace, and the runs started from this page. */
export class PipelinesModel extends Listing<IPipelineRun> {
  constructor(mlops: IMLOps) {
    super(
      mlops,
      ['pipelines', 'job'],
      async () => (await mlops.call('pipeline history', {})).result.rows
    );
    mlops.acted.connect(this._onActed, this);
    mlops.changed.connect(this._onProgress, this);
  }

  /** The distinct pipeline files among the rows, the one that ran last first. */
  get pipelines(): IPipeline[] {
    const byFile = new Map<string, IPipeline>();
    for (const run of this.rows ?? []) {
      const known = byFile.get(run.file);
      if (known) {
        known.runs.push(run);
      } else {
        byFile.set(run.file, { name: run.pipeline, file: run.file, runs: [run] });
      }
    }
    return [...byFile.values()];
  }

  /** What the run of a file that this page started is at. */
  progress(file: string): IProgress | undefined {
    return this._progress.get(file);
  }

  protected override forget(): void {
    super.forget();
    this._progress.clear();
  }

  private _onActed(_: IMLOps, act: IAct): void {
    if (act.verb === 'pipeline run') {
      this._progress.set((act.args as { file: string }).file, {
        running: act.phase !== 'ended',
        text: act.message,
        result: act.answer?.result as IPipelineResult | undefined,
        error: act.error
      });
      this.stateChanged.emit();
    }
  }

  private _onProgress(_: IMLOps, { pipeline, step, state, done, total }: IChange): void {
    if (!pipeline || !step || !total) {
      return;
    }
    for (const { file } of this.pipelines.filter(known => known.name === pipeline)) {
      const progress = this._progress.get(file);
      if (progress?.running) {
        const text = `${done ?? 0} of ${total} done; ${step}: ${(state ?? '').replace(/_/g, ' ')}`;
        this._progress.set(file, { ...progress, text });
        this.stateChanged.emit();
      }
    }
  }

  private readonly _progress = new Map<string, IProgress>();
}
