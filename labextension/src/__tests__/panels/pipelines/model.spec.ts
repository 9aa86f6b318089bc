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
