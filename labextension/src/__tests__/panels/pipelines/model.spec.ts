import { PipelinesModel } from '../../../panels/pipelines/model';
import { FakeMLOps, settle } from '../../support/fakes';

const run = (id: string, file: string) => ({
  run: id,
  pipeline: file.replace('.yaml', ''),
  file,
  state: 'succeeded',
  started: null,
  seconds: 1,
  steps: 1,
  cached: 0,
  failed: 0
});

describe('PipelinesModel', () => {
  it('gathers the past runs of each file', async () => {
    const rows = [run('3', 'b.yaml'), run('2', 'a.yaml'), run('1', 'b.yaml')];
    const model = new PipelinesModel(new FakeMLOps({ 'pipeline history': { rows } }));
    model.active = true;
    await settle();
    const gathered = model.pipelines.map(({ file, runs }) => [file, runs.map(r => r.run)]);
    expect(gathered).toEqual([
      ['b.yaml', ['3', '1']],
      ['a.yaml', ['2']]
    ]);
  });

  it('tells how far a run that was started here has come', async () => {
    const mlops = new FakeMLOps({ 'pipeline history': { rows: [run('1', 'a.yaml')] } });
    const model = new PipelinesModel(mlops);
    model.active = true;
    await settle();
    const change = { topic: 'pipelines', pipeline: 'a', step: 'train', done: 1, total: 3 } as const;
    mlops.changed.emit({ ...change, state: 'running' });
    expect(model.progress('a.yaml')).toBeUndefined();
    mlops.acted.emit({ verb: 'pipeline run', args: { file: 'a.yaml' }, phase: 'begun' });
    mlops.changed.emit({ ...change, state: 'timed_out' });
    expect(model.progress('a.yaml')?.text).toBe('1 of 3 done; train: timed out');
  });

  it('follows a run that was started anywhere in the page', () => {
    const mlops = new FakeMLOps();
    const model = new PipelinesModel(mlops);
    const act = { verb: 'pipeline run', args: { file: 'a.yaml' } } as const;
    mlops.acted.emit({ ...act, phase: 'begun' });
    expect(model.progress('a.yaml')).toMatchObject({ running: true });
    mlops.acted.emit({ ...act, phase: 'progress', message: 'train: running' });
    expect(model.progress('a.yaml')?.text).toBe('train: running');
    mlops.acted.emit({ ...act, phase: 'ended', answer: { ok: true, result: { state: 'succeeded' } } });
    expect(model.progress('a.yaml')).toMatchObject({ running: false });
    expect(model.progress('b.yaml')).toBeUndefined();
  });
});
