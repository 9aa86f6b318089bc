import { count, shortId } from '../../components/format';
import { Details, type IDetail } from '../../details';
import { Listing } from '../../listing';
import type { ICaptured, IMissing, IRestored, ISnapshot, ISnapshotDetails } from '../../records';
import type { IAct, IMLOps, KernelState, MlopsError } from '../../tokens';

/** What the last snapshot or restore came to. */
export interface INotice {
  error?: MlopsError;
  text?: string;
  missing: IMissing[];
}

/** The snapshots of the workspace, newest first, those opened, and the last thing done. */
export class SnapshotsModel extends Listing<ISnapshot> {
  constructor(mlops: IMLOps) {
    super(mlops, ['snapshots'], async () => (await mlops.call('snapshots', {})).result.rows);
    this.details = new Details(
      async snapshot => (await mlops.call('show', { snapshot })).result,
      () => this.stateChanged.emit()
    );
    mlops.acted.connect(this._onActed, this);
    mlops.moved.connect(this._onMoved, this);
  }

  /** The snapshots opened in the list. */
  readonly details: Details<ISnapshotDetails>;

  /** What an opened snapshot says. */
  detail(snapshot: string): IDetail<ISnapshotDetails> | undefined {
    return this.details.get(snapshot);
  }

  /** Whether the current notebook has a kernel to ask. */
  get kernel(): KernelState {
    return this.mlops.kernel;
  }

  /** Whether the kernel was asked and has not answered yet. */
  get asking(): boolean {
    return this._asking;
  }

  /** What the last snapshot or restore came to; null when there was none. */
  get notice(): INotice | null {
    return this._notice;
  }

  protected override forget(): void {
    super.forget();
    this.details.clear();
    this._notice = null;
  }

  private _onActed(_: IMLOps, act: IAct): void {
    if (act.verb === 'snapshot' || act.verb === 'restore') {
      this._asking = act.phase !== 'ended';
      this._notice = this._asking ? null : describe(act);
      this.stateChanged.emit();
    }
  }

  private _onMoved(): void {
    // The kernel's state changes with every cell; only what the button shows is worth drawing.
    const kernel = this.kernel;
    if (kernel !== this._kernel) {
      this._kernel = kernel;
      this.stateChanged.emit();
    }
  }

  private _asking = false;
  private _notice: INotice | null = null;
  private _kernel: KernelState | null = null;
}

function describe(act: IAct): INotice {
  if (act.error) {
    return { error: act.error, missing: [] };
  }
  if (act.verb === 'restore') {
    const { restored, missing } = act.answer?.result as IRestored;
    const names = restored.length ? restored.join(', ') : 'nothing';
    return { text: `Restored ${names}.`, missing };
  }
  const { snapshot, name, variables, missing } = act.answer?.result as ICaptured;
  return { text: `Took ${name ?? shortId(snapshot)} with ${count(variables, 'variable')}.`, missing };
}
