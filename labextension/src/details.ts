/** What is open below rows, and what it says. */
import type { MlopsError } from './tokens';

/** The state of one open row; neither value nor error means it is loading. */
export interface IDetail<T> {
  value?: T;
  error?: MlopsError;
}

/** The open rows of a list by their keys; each is loaded when opened. */
export class Details<T> {
  constructor(
    private readonly _load: (key: string) => Promise<T>,
    private readonly _changed: () => void
  ) {}

  /** What an open row says; undefined when the row is closed. */
  get(key: string): IDetail<T> | undefined {
    return this._open.get(key);
  }

  /** Open a row and load it. */
  open(key: string): Promise<void> {
    this._open.set(key, this._open.get(key) ?? {});
    this._changed();
    return this._fetch(key);
  }

  /** Open a closed row, close an open one. */
  toggle(key: string): void {
    if (this._open.delete(key)) {
      this._changed();
    } else {
      void this.open(key);
    }
  }

  /** Load the open rows again, showing what they said until then. */
  reload(): void {
    this._open.forEach((_, key) => void this._fetch(key));
  }

  /** Close every row. */
  clear(): void {
    this._open.clear();
  }

  private async _fetch(key: string): Promise<void> {
    let detail: IDetail<T>;
    try {
      detail = { value: await this._load(key) };
    } catch (error) {
      detail = { error: error as MlopsError };
    }
    if (this._open.has(key)) {
      this._open.set(key, detail);
      this._changed();
    }
  }

  private readonly _open = new Map<string, IDetail<T>>();
}
