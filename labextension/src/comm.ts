/** The only caller of a kernel. */
import type { Kernel, KernelMessage } from '@jupyterlab/services';

import { occupationOf } from './occupation';
import { MlopsError, type IAnswer } from './tokens';

/** The kernel's door: verbs that need the live namespace. */
export interface IKernelDoor {
  /** Carry out a verb in a kernel; refuses, and sends nothing, when the kernel stays busy. */
  call(kernel: Kernel.IKernelConnection, verb: string, args: object): Promise<IAnswer>;
}

/** How long to wait for a kernel, in milliseconds. */
export interface IPatience {
  /** For a busy kernel to become idle before anything is sent, and then to take the request up. */
  idle: number;
  /** For the pause that tells the end of the work from the gap between two queued cells. */
  settle: number;
}

/**
 * Asks a kernel by a silent execute request.
 *
 * Such a request waits behind the cells already queued. One that were sent to a busy kernel and
 * given up on would still be carried out later, unseen; so we wait here first and send only to a
 * kernel that is idle.
 */
export class KernelDoor implements IKernelDoor {
  constructor(readonly patience: IPatience = { idle: 10_000, settle: 150 }) {}

  async call(kernel: Kernel.IKernelConnection, verb: string, args: object): Promise<IAnswer> {
    await this._untilIdle(kernel);
    const content = await this._execute(kernel, expression(verb, args));
    return readAnswer(content);
  }

  private async _untilIdle(kernel: Kernel.IKernelConnection): Promise<void> {
    const deadline = Date.now() + this.patience.idle;
    const occupation = occupationOf(kernel);
    do {
      if (kernel.status === 'dead' || kernel.isDisposed) {
        throw new MlopsError('The kernel is dead.', 'Restart it, run your cells, then try again.');
      }
      const idle = !occupation.busy;
      await sleep(this.patience.settle);
      if (idle && !occupation.busy) {
        return;
      }
    } while (Date.now() < deadline);
    throw new MlopsError(
      'The kernel is busy with another cell; nothing was sent to it.',
      'Try again when the cell has finished, or interrupt it.'
    );
  }

  private async _execute(
    kernel: Kernel.IKernelConnection,
    code: string
  ): Promise<KernelMessage.IExecuteReplyMsg['content']> {
    const future = kernel.requestExecute({
      code: '',
      silent: true,
      store_history: false,
      allow_stdin: false,
      stop_on_error: false,
      user_expressions: { mlops: code }
    });
    const done = future.done.catch(() => undefined);
    const started = new Promise<void>(resolve => {
      // The kernel reports busy with our message as the parent when it takes the request up.
      future.onIOPub = () => resolve();
    });
    const late = sleep(this.patience.idle).then(() => 'late' as const);
    const first = await Promise.race([done, started, late]);
    if (first === 'late') {
      throw new MlopsError(
        'The kernel is busy with cells that came first.',
        'The request waits in its queue and is carried out after them, unless you interrupt the kernel.'
      );
    }
    const reply = await done;
    if (!reply) {
      throw new MlopsError('The kernel went away before it answered.', 'Restart it and try again.');
    }
    return reply.content;
  }
}

/** The Python expression that calls the bridge; both strings are JSON, which Python reads alike. */
function expression(verb: string, args: object): string {
  const literal = JSON.stringify(JSON.stringify(args));
  return `__import__('mlops_jupyter.kernel.bridge', fromlist=['call']).call(${JSON.stringify(verb)}, ${literal})`;
}

function readAnswer(content: KernelMessage.IExecuteReplyMsg['content']): IAnswer {
  if (content.status !== 'ok') {
    throw new MlopsError(
      'The kernel dropped the request because a cell before it failed.',
      'Try again.'
    );
  }
  const value = content.user_expressions?.mlops as
    | { status?: string; ename?: string; evalue?: string; data?: { [mime: string]: unknown } }
    | undefined;
  if (value?.ename === 'ModuleNotFoundError') {
    throw new MlopsError(
      "mlops_jupyter is not installed in this notebook's kernel.",
      'Run "%pip install mlops-jupyter" in a cell, then try again.'
    );
  }
  if (value?.status === 'error') {
    throw new MlopsError(
      `${value.ename}: ${value.evalue}`,
      'Run the same verb as a cell magic to see more.'
    );
  }
  const payload = value?.data?.['application/json'] as
    | (IAnswer & { error?: { message: string; hint?: string } })
    | undefined;
  if (payload?.error) {
    throw new MlopsError(payload.error.message, payload.error.hint ?? '');
  }
  if (!payload) {
    throw new MlopsError(
      'This kernel gave no answer that MLOps understands.',
      'Use a Python kernel with mlops-jupyter of the same version as the server.'
    );
  }
  return payload;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}
