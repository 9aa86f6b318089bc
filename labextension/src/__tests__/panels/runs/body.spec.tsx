import { act, fireEvent, render, screen, within } from '@testing-library/react';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { addCommands } from '../../../commands';
import { RunsBody } from '../../../panels/runs/body';
import { RunsModel } from '../../../panels/runs/model';
import type { IRun, IRunDetails } from '../../../records';
import { MlopsError } from '../../../tokens';
import { FakeMLOps, settle } from '../../support/fakes';

const HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>';

const RUN: IRun = {
  run_id: 'abcdef',
  name: HOSTILE,
  status: 'FAILED',
  experiment: HOSTILE,
  started: '2026-01-01T00:00:00Z',
  seconds: 1,
  params: { depth: HOSTILE },
  metrics: { auc: 0.75 },
  notebook: HOSTILE
};

const DETAILS: IRunDetails = {
  ...RUN,
  tags: {},
  cell: 'c',
  source: HOSTILE,
  git_commit: 'deadbeef',
  git_dirty: true,
  environment: null,
  snapshot: 'first',
  data: [{ name: 'train', role: 'train', digest: 'xxh3:1' }],
  models: []
};

async function setUp(answers: ConstructorParameters<typeof FakeMLOps>[0]) {
  const mlops = new FakeMLOps(answers);
  const commands = new CommandRegistry();
  addCommands(commands, mlops, () => {});
  const model = new RunsModel(mlops);
  const view = render(<RunsBody model={model} commands={commands} />);
  model.stateChanged.connect(() => view.rerender(<RunsBody model={model} commands={commands} />));
  await act(async () => {
    model.active = true;
    await settle();
  });
  return { mlops, model, view };
}

describe('Runs', () => {
  it('shows hostile names as text', async () => {
    const { view } = await setUp({ runs: { rows: [RUN] }, compare: { runs: [DETAILS] } });
    expect(screen.getByText(HOSTILE)).toBeTruthy();
    await act(async () => {
      fireEvent.click(screen.getByRole('button', { name: /auc/ }));
      await settle();
    });
    expect(screen.getByRole('group', { name: 'Cell source' }).textContent).toBe(HOSTILE);
    expect(view.container.querySelector('script, img')).toBeNull();
  });

  it('tells a state by word, not by colour alone', async () => {
    await setUp({ runs: { rows: [RUN] } });
    expect(screen.getByRole('button', { name: /failed/ })).toBeTruthy();
  });

  it('opens the details of a run and returns the focus to its row', async () => {
    await setUp({ runs: { rows: [RUN] }, compare: { runs: [DETAILS] } });
    const row = screen.getByRole('button', { name: /auc/ });
    await act(async () => {
      fireEvent.click(row);
      await settle();
    });
    const metrics = screen.getByRole('table', { name: 'Metrics' });
    expect(within(metrics).getByText('0.75')).toBeTruthy();
    expect(screen.getByText(/with uncommitted changes/)).toBeTruthy();
    await act(async () => {
      fireEvent.click(screen.getByRole('button', { name: 'All runs' }));
      await settle();
    });
    expect(document.activeElement).toBe(row);
  });

  it('tells what to type when there are no runs', async () => {
    await setUp({ runs: { rows: [] } });
    expect(screen.getByText('%%mlops run')).toBeTruthy();
  });

  it('shows an error in two lines', async () => {
    await setUp({ runs: () => Promise.reject(new MlopsError('The store is locked.', 'Wait.')) });
    expect(screen.getByRole('alert').textContent).toBe('The store is locked.Wait.');
  });

  it('draws a thousand runs a page at a time', async () => {
    const rows = Array.from({ length: 1000 }, (_, n) => ({ ...RUN, run_id: `r${n}` }));
    await setUp({ runs: { rows } });
    expect(screen.getAllByRole('listitem').length).toBe(10);
    fireEvent.click(screen.getByRole('button', { name: 'Show 50 more' }));
    expect(screen.getAllByRole('listitem').length).toBe(60);
  });
});
