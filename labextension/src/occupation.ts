/** Whether a kernel has cells to run. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';

/**
 * Follows the execute requests of a kernel.
 *
 * The kernel's own status is that of its last message on any channel: a request to a subshell or on
 * the control channel makes it idle while a cell goes on in the main shell.
 */
export class Occupation {
  constructor(private readonly _kernel: Kernel.IKernelConnection) {
    _kernel.anyMessage.connect(this._onMessage, this);
    _kernel.statusChanged.connect(this._onStatus, this);
  }

  /** Whether a cell runs or waits to; what this page asks silently does not count. */
  get busy(): boolean {
    const { status } = this._kernel;
    if (this._requests.size > 0) {
      return true;
    }
    return status === 'busy' ? this._silent.size === 0 : status !== 'idle' && status !== 'unknown';
  }

  /** Emitted when `busy` may have changed. */
  get changed(): ISignal<Occupation, void> {
    return this._changed;
  }

  private _onMessage(_: unknown, { msg, direction }: Kernel.IAnyMessageArgs): void {
    const before = this._requests.size;
    if (direction === 'send') {
      this._onSent(msg);
    } else {
      this._onReceived(msg);
    }
    if (before !== this._requests.size) {
      this._changed.emit();
    }
  }

  private _onSent({ header, content }: KernelMessage.IMessage): void {
    if (header.msg_type === 'execute_request') {
      const { silent } = content as { silent?: boolean };
      (silent ? this._silent : this._requests).add(header.msg_id);
    }
  }

  private _onReceived(msg: KernelMessage.IMessage): void {
    const parent = msg.parent_header as Partial<KernelMessage.IHeader>;
    if (parent.msg_type !== 'execute_request' || !parent.msg_id) {
      return;
    }
    const state = (msg.content as { execution_state?: string }).execution_state;
    if (msg.header.msg_type === 'execute_reply') {
      this._requests.delete(parent.msg_id);
      this._silent.delete(parent.msg_id);
    } else if (state === 'busy' && !this._silent.has(parent.msg_id)) {
      // Of another client's cell this is the first that we hear, and the status the last.
      this._requests.add(parent.msg_id);
    } else if (state === 'idle') {
      this._requests.delete(parent.msg_id);
    }
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (GONE.has(status)) {
      this._requests.clear();
      this._silent.clear();
    }
    this._changed.emit();
  }

  private readonly _requests = new Set<string>();
  private readonly _silent = new Set<string>();
  private readonly _changed = new Signal<Occupation, void>(this);
}

/** After these nothing that was asked before will be answered. */
const GONE: ReadonlySet<Kernel.Status> = new Set([
  'starting',
  'restarting',
  'autorestarting',
  'terminating',
  'dead'
]);

const known = new WeakMap<Kernel.IKernelConnection, Occupation>();

/** The occupation of a kernel, followed from the first time that someone asks for it. */
export function occupationOf(kernel: Kernel.IKernelConnection): Occupation {
  let occupation = known.get(kernel);
  if (!occupation) {
    occupation = new Occupation(kernel);
    known.set(kernel, occupation);
  }
  return occupation;
}
