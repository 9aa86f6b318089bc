/** The rows of a section: loaded when asked for, told of changes, quiet when hidden. */
import { VDomModel } from '@jupyterlab/ui-components';
import { Throttler } from '@lumino/polling';

import { MlopsError, type IChange, type IMLOps, type ISectionModel, type Topic } from './tokens';

/** How often, in milliseconds, a storm of events makes a section load. */
const PACE = 300;

/** Rows that follow a topic of the workspace. */
export class Listing<T> extends VDomModel implements ISectionModel {
  constructor(
    /** The workspace's verbs, for subclasses and bodies that read its state. */
    readonly mlops: IMLOps,
    private readonly _topics: readonly Topic[],
    private readonly _load: () => Promise<readonly T[]>
  ) {
    super();
    this._throttler = new Throttler(() => this.refresh(), { limit: PACE, edge: 'trailing' });
    mlops.changed.connect(this._onChanged, this);
    mlops.located.connect(this._onLocated, this);
  }

  /** The rows last loaded; null before the first answer. */
  get rows(): readonly T[] | null {
    return this._rows;
  }

  /** Why the last load failed. */
  get error(): MlopsError | null {
    return this._error;
  }

  /** Whether the section is seen; one that is not keeps its rows and loads nothing. */
  get active(): boolean {
    return this._active;
  }
  set active(active: boolean) {
    this._active = active;
    if (active && this._stale) {
      void this.refresh();
    }
  }

  /** Load the rows now, or as soon as the section is seen and the workspace known. */
  async refresh(): Promise<void> {
    if (!this._active || !this.mlops.status) {
      this._stale = true;
      return;
    }
    this._stale = false;
    const asked = ++this._asked;
    try {
      const rows = await this._load();
      this._settle(asked, rows, null);
    } catch (reason) {
      this._settle(asked, this._rows, reason as MlopsError);
    }
  }

  override dispose(): void {
    this._throttler.dispose();
    super.dispose();
  }

  /** Forget what belonged to another workspace. */
  protected forget(): void {
    this._asked++;
    this._rows = null;
    this._error = null;
  }

  /** Called when rows came in; what is open below them can be brought up to date here. */
  protected loaded(): void {}

  private _settle(asked: number, rows: readonly T[] | null, error: MlopsError | null): void {
    // An older answer may come last; and a disposed section has no one to show it to.
    if (asked !== this._asked || this.isDisposed) {
      return;
    }
    this._rows = rows;
    this._error = error;
    if (!error) {
      this.loaded();
    }
    this.stateChanged.emit();
  }

  private _onChanged(_: IMLOps, change: IChange): void {
    if (change.topic === 'all') {
      void this.refresh();
    } else if (this._topics.includes(change.topic)) {
      this._stale = true;
      if (this._active) {
        this._throttler.invoke().catch(() => {
          // Rejected only when the section is disposed meanwhile.
        });
      }
    }
  }

  private _onLocated(_: IMLOps, elsewhere: boolean): void {
    if (elsewhere) {
      this.forget();
      this.stateChanged.emit();
      void this.refresh();
    }
  }

  private readonly _throttler: Throttler;
  private _rows: readonly T[] | null = null;
  private _error: MlopsError | null = null;
  private _active = false;
  private _stale = true;
  private _asked = 0;
}
