import type { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { KernelDoor } from '../comm';

const PATIENCE = { idle: 60, settle: 5 };

/** A kernel that answers every request alike; `sent` holds the requests. */
function kernelAnswering(reply: object | 'never', status = 'idle') {
  const sent: { code: string; silent: boolean; user_expressions: { mlops: string } }[] = [];
  const kernel = {
    status,
    isDisposed: false,
    anyMessage: new Signal<object, object>({}),
    statusChanged: new Signal<object, string>({}),
    requestExecute(content: (typeof sent)[number]) {
      sent.push(content);
      const done = reply === 'never' ? new Promise(() => {}) : Promise.resolve({ content: reply });
      return { done, onIOPub: () => {} };
    }
  };
  return { kernel: kernel as unknown as Kernel.IKernelConnection, sent, raw: kernel };
}

function evaluated(value: object) {
  return { status: 'ok', user_expressions: { mlops: value } };
}

const ask = (kernel: Kernel.IKernelConnection, args: object = {}) =>
  new KernelDoor(PATIENCE).call(kernel, 'snapshot', args);

describe('KernelDoor', () => {
  it('asks silently, leaving the history and the execution count alone', async () => {
    const json = { ok: true, result: { variables: 3 } };
    const reply = evaluated({ status: 'ok', data: { 'application/json': json } });
    const { kernel, sent } = kernelAnswering(reply);
    expect(await ask(kernel, { name: 'it\'s "so"' })).toEqual(json);
    expect(sent[0]).toMatchObject({ code: '', silent: true, store_history: false });
    expect(sent[0].user_expressions.mlops).toBe(
      `__import__('mlops_jupyter.kernel.bridge', fromlist=['call'])` +
        `.call("snapshot", "{\\"name\\":\\"it's \\\\\\"so\\\\\\"\\"}")`
    );
  });

  it('tells that the kernel is busy, and sends nothing that would be carried out later', async () => {
    const { kernel, sent } = kernelAnswering({}, 'busy');
    await expect(ask(kernel)).rejects.toMatchObject({
      message: expect.stringContaining('busy'),
      hint: expect.stringContaining('interrupt')
    });
    expect(sent).toEqual([]);
  });

  it('waits for a busy kernel that becomes idle in time', async () => {
    const json = { ok: true, result: {} };
    const { kernel, raw } = kernelAnswering(
      evaluated({ status: 'ok', data: { 'application/json': json } }),
      'busy'
    );
    setTimeout(() => (raw.status = 'idle'), 20);
    expect(await ask(kernel)).toEqual(json);
  });

  it('does not take the gap between two queued cells for the end of the work', async () => {
    const { kernel, raw, sent } = kernelAnswering({}, 'idle');
    setTimeout(() => (raw.status = 'busy'), 1);
    await expect(ask(kernel)).rejects.toThrow('busy');
    expect(sent).toEqual([]);
  });

  it('says that the request waits when other cells came first after all', async () => {
    await expect(ask(kernelAnswering('never').kernel)).rejects.toMatchObject({
      message: expect.stringContaining('busy'),
      hint: expect.stringContaining('queue')
    });
  });

  it.each([
    ['dead kernel', {}, 'dead', 'dead'],
    ['aborted request', { status: 'aborted' }, 'idle', 'dropped'],
    ['another language', { status: 'ok' }, 'idle', 'no answer'],
    [
      'missing package',
      evaluated({ status: 'error', ename: 'ModuleNotFoundError', evalue: 'mlops_jupyter' }),
      'idle',
      'not installed'
    ],
    [
      'refusal',
      evaluated({
        status: 'ok',
        data: { 'application/json': { error: { message: 'no such name', hint: 'look' } } }
      }),
      'idle',
      'no such name'
    ]
  ])('explains a %s', async (_, reply, status, words) => {
    await expect(ask(kernelAnswering(reply, status).kernel)).rejects.toThrow(words);
  });
});
