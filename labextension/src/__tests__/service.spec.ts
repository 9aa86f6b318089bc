import type { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { CHANGE_EVENT, MLOps } from '../service';
import type { IPlace } from '../place';
import { MlopsError, type IAct, type IChange } from '../tokens';
import { settle, STATUS } from './support/fakes';

function setUp(options: { kernel?: boolean } = {}) {
  const sender = {};
  const events = new Signal<object, { schema_id: string }>(sender);
  const place = {
    notebook: 'nb/train.ipynb' as string | null,
    kernel: options.kernel === false ? null : ({} as Kernel.IKernelConnection),
    state: 'idle' as const,
    changed: new Signal<IPlace, void>({} as IPlace)
  };
  const server = {
    call: jest.fn(async (verb: string): Promise<any> => {
      return verb === 'pipeline run'
        ? { job: 'j1' }
        : { ok: true, result: verb === 'status' ? STATUS : { rows: [] } };
    }),
    job: jest.fn()
  };
  const kernel = { call: jest.fn(async () => ({ ok: true, result: { missing: [] } })) };
  const mlops = new MLOps({ server, kernel, place, events });
  const emit = (data: object) => events.emit({ schema_id: CHANGE_EVENT, ...data });
  return { mlops, server, kernel, place, events, emit };
}

describe('MLOps', () => {
  it('asks the server for what needs the workspace, naming the notebook', async () => {
    const { mlops, server, kernel } = setUp();
    await mlops.call('runs', { limit: 5 });
    expect(server.call).toHaveBeenCalledWith('runs', { limit: 5, notebook: 'nb/train.ipynb' });
    expect(kernel.call).not.toHaveBeenCalled();
  });

  it('names no notebook when there is none', async () => {
    const { mlops, server, place } = setUp();
    place.notebook = null;
    await mlops.call('models', {});
    expect(server.call).toHaveBeenCalledWith('models', {});
  });

  it('asks the kernel for what needs the namespace', async () => {
    const { mlops, server, kernel, place } = setUp();
    await mlops.call('snapshot', { name: 'a' });
    expect(kernel.call).toHaveBeenCalledWith(place.kernel, 'snapshot', { name: 'a' });
    expect(server.call).not.toHaveBeenCalled();
  });

  it('says so when there is no kernel to ask', async () => {
    const { mlops } = setUp({ kernel: false });
    await expect(mlops.call('snapshot', {})).rejects.toMatchObject({
      message: expect.stringContaining('no kernel'),
      hint: expect.stringContaining('Open a notebook')
    });
  });

  it('follows the job that a long verb becomes, and tells how far it is', async () => {
    const { mlops, server, emit } = setUp();
    const acts: IAct[] = [];
    mlops.acted.connect((_, act) => acts.push(act));
    server.job.mockResolvedValueOnce({ state: 'running' });
    server.job.mockResolvedValueOnce({ state: 'done', ok: false, result: { state: 'failed' } });
    const run = mlops.call('pipeline run', { file: 'p.yaml' });
    await settle();
    emit({ topic: 'job', job: 'j1', message: 'train: running' });
    expect(await run).toEqual({ ok: false, result: { state: 'failed' } });
    expect(acts.map(act => act.message ?? act.phase)).toEqual(['begun', 'train: running', 'ended']);
  });

  it('tells of changes in this workspace only', async () => {
    const { mlops, emit, events } = setUp();
    await mlops.locate();
    const changes: IChange[] = [];
    mlops.changed.connect((_, change) => changes.push(change));
    emit({ topic: 'runs', workspace: STATUS.workspace });
    emit({ topic: 'models', workspace: '/projects/other' });
    events.emit({ schema_id: 'https://events.jupyter.org/contents', topic: 'runs' } as never);
    expect(changes.map(change => change.topic)).toEqual(['runs']);
  });

  it('tells of a change after acting, whether or not an event comes', async () => {
    const { mlops } = setUp();
    const topics: string[] = [];
    mlops.changed.connect((_, change) => topics.push(change.topic));
    await mlops.call('promote', { model: 'churn/1', to: 'champion' });
    await mlops.call('runs', {});
    expect(topics).toEqual(['models']);
  });

  it('keeps what it knows when the server is away for a moment, but not in another notebook', async () => {
    const { mlops, server, place } = setUp();
    await mlops.locate();
    server.call.mockRejectedValue(new MlopsError('away'));
    expect(await mlops.locate()).toBe(false);
    expect([mlops.status, mlops.error?.message]).toEqual([STATUS, 'away']);
    place.notebook = 'elsewhere.ipynb';
    expect(await mlops.locate()).toBe(true);
    expect(mlops.status).toBeNull();
  });

  it('heeds the newest of two questions about the workspace', async () => {
    const { mlops, server } = setUp();
    let answerFirst: (answer: object) => void = () => {};
    server.call.mockImplementationOnce(() => new Promise(resolve => (answerFirst = resolve)));
    const first = mlops.locate();
    await mlops.locate();
    answerFirst({ ok: true, result: { ...STATUS, workspace: '/stale' } });
    await first;
    expect(mlops.status?.workspace).toBe(STATUS.workspace);
  });
});
