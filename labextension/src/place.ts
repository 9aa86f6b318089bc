/** Where the user is: the current notebook and its kernel. */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Contents, Kernel } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';

import { occupationOf, type Occupation } from './occupation';
import type { KernelState } from './tokens';

/** The current notebook, as far as the verbs need it. */
export interface IPlace {
  /** Path relative to the server's root, or null without a notebook. */
  readonly notebook: string | null;
  /** The notebook's kernel, or null without one. */
  readonly kernel: Kernel.IKernelConnection | null;
  /** Whether there is a kernel to ask. */
  readonly state: KernelState;
  /** Emitted when any of these may have changed. */
  readonly changed: ISignal<IPlace, void>;
}

/** Follows the notebook tracker. */
export class NotebookPlace implements IPlace {
  constructor(
    private readonly _tracker: INotebookTracker,
    private readonly _contents: Contents.IManager
  ) {
    _tracker.currentChanged.connect(this._follow, this);
    this._follow();
  }

  get changed(): ISignal<IPlace, void> {
    return this._changed;
  }

  get notebook(): string | null {
    const path = this._panel?.context.path;
    // A path may carry a drive's name, as in real-time collaboration; the server knows only the rest.
    return path ? this._contents.localPath(path) : null;
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this._panel?.sessionContext.session?.kernel ?? null;
  }

  get state(): KernelState {
    const { kernel } = this;
    if (!kernel || kernel.status === 'dead' || kernel.status === 'terminating') {
      return 'none';
    }
    return occupationOf(kernel).busy ? 'busy' : 'idle';
  }

  private _follow(): void {
    const panel = this._tracker.currentWidget;
    if (panel !== this._panel) {
      this._unfollow();
      this._panel = panel;
      panel?.sessionContext.kernelChanged.connect(this._emit, this);
      panel?.sessionContext.statusChanged.connect(this._emit, this);
      panel?.context.pathChanged.connect(this._emit, this);
    }
    this._emit();
  }

  private _unfollow(): void {
    this._panel?.sessionContext.kernelChanged.disconnect(this._emit, this);
    this._panel?.sessionContext.statusChanged.disconnect(this._emit, this);
    this._panel?.context.pathChanged.disconnect(this._emit, this);
  }

  private _emit(): void {
    const occupation = this.kernel ? occupationOf(this.kernel) : null;
    if (occupation !== this._occupation) {
      this._occupation?.changed.disconnect(this._tell, this);
      this._occupation = occupation;
      occupation?.changed.connect(this._tell, this);
    }
    this._tell();
  }

  private _tell(): void {
    this._changed.emit();
  }

  private readonly _changed = new Signal<IPlace, void>(this);
  private _panel: NotebookPanel | null = null;
  private _occupation: Occupation | null = null;
}
