import { Details, type IDetail } from '../../details';
import { Listing } from '../../listing';
import type { IRun, IRunDetails } from '../../records';
import { MlopsError, type IMLOps } from '../../tokens';

/** How many of the newest runs are asked for. */
const LIMIT = 1000;

/** The runs of the workspace, newest first, and the one looked at. */
export class RunsModel extends Listing<IRun> {
  constructor(mlops: IMLOps) {
    super(mlops, ['runs'], async () => (await mlops.call('runs', { limit: LIMIT })).result.rows);
    this._details = new Details(
      run => readDetails(mlops, run),
      () => this.stateChanged.emit()
    );
    mlops.selected.connect(this._onSelected, this);
    this._onSelected(mlops, mlops.selectedRun);
  }

  /** The id of the run looked at, or null. */
  get selected(): string | null {
    return this.mlops.selectedRun;
  }

  /** What the run looked at says. */
  get details(): IDetail<IRunDetails> {
    return (this.selected && this._details.get(this.selected)) || {};
  }

  protected override loaded(): void {
    this._details.reload();
  }

  private _onSelected(_: IMLOps, run: string | null): void {
    this._details.clear();
    if (run) {
      void this._details.open(run);
    }
    this.stateChanged.emit();
  }

  private readonly _details: Details<IRunDetails>;
}

async function readDetails(mlops: IMLOps, run: string): Promise<IRunDetails> {
  const [details] = (await mlops.call('compare', { runs: [run] })).result.runs;
  if (!details) {
    throw new MlopsError('This run is gone.', 'Refresh the list.');
  }
  return details;
}
