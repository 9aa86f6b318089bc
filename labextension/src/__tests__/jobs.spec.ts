import { Jobs } from '../jobs';

describe('Jobs', () => {
  it('asks again by itself when no event comes', async () => {
    const job = jest.fn();
    job.mockResolvedValueOnce({ state: 'running' });
    job.mockResolvedValueOnce({ state: 'done', ok: true, result: 7 });
    const jobs = new Jobs({ call: jest.fn(), job }, 5);
    expect(await jobs.follow('j', () => {})).toEqual({ ok: true, result: 7 });
  });

  it('rejects with the reason of a failed job', async () => {
    const error = { message: 'cycle in the pipeline', hint: 'see line 4' };
    const job = jest.fn().mockResolvedValue({ state: 'failed', error });
    const jobs = new Jobs({ call: jest.fn(), job });
    await expect(jobs.follow('j', () => {})).rejects.toMatchObject(error);
  });
});
