import { Details, type IDetail } from '../../details';
import { Listing } from '../../listing';
import type { IPromotion, IVersion, IVersionDetails } from '../../records';
import type { IAct, IMLOps, MlopsError } from '../../tokens';

/** How the last promotion of a version ended. */
export interface IPromotionOutcome {
  promotion?: IPromotion;
  error?: MlopsError;
}

/** How a version is named: `NAME/VERSION`. */
export function referTo(version: { model: string; version: number }): string {
  return `${version.model}/${version.version}`;
}

/** The versions of the workspace's models, those opened, and what their promotions came to. */
export class ModelsModel extends Listing<IVersion> {
  constructor(mlops: IMLOps) {
    // Versions are kept where runs are: one that MLflow itself registers is told of as a change of runs.
    super(mlops, ['models', 'runs'], async () =>
      inOrder((await mlops.call('models', {})).result.rows)
    );
    this.details = new Details(
      async model => (await mlops.call('model', { model })).result,
      () => this.stateChanged.emit()
    );
    mlops.acted.connect(this._onActed, this);
  }

  /** The versions opened in the list. */
  readonly details: Details<IVersionDetails>;

  /** What an opened version says. */
  detail(version: IVersion): IDetail<IVersionDetails> | undefined {
    return this.details.get(referTo(version));
  }

  /** How the last promotion of a version from this page ended. */
  outcome(version: IVersion): IPromotionOutcome | undefined {
    return this._outcomes.get(referTo(version));
  }

  /** Open a closed version; close an open one, and put the outcome of its promotion away. */
  toggle(version: IVersion): void {
    const key = referTo(version);
    const told = this._outcomes.delete(key);
    if (!told || this.details.get(key)) {
      this.details.toggle(key);
    } else {
      this.stateChanged.emit();
    }
  }

  protected override loaded(): void {
    this.details.reload();
  }

  protected override forget(): void {
    super.forget();
    this.details.clear();
    this._outcomes.clear();
  }

  private _onActed(_: IMLOps, { verb, args, phase, answer, error }: IAct): void {
    if (verb === 'promote' && phase === 'ended') {
      const promotion = answer?.result as IPromotion | undefined;
      // The words of the request may be `NAME@ALIAS`; the answer tells the version.
      const key = promotion ? referTo(promotion) : (args as { model: string }).model;
      this._outcomes.set(key, { promotion, error });
      this.stateChanged.emit();
    }
  }

  private readonly _outcomes = new Map<string, IPromotionOutcome>();
}

function inOrder(rows: readonly IVersion[]): IVersion[] {
  return [...rows].sort((a, b) => a.model.localeCompare(b.model) || b.version - a.version);
}
