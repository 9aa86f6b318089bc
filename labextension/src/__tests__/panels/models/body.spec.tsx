import { act, render, screen, within } from '@testing-library/react';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { ModelsBody } from '../../../panels/models/body';
import { ModelsModel } from '../../../panels/models/model';
import type { IPromotion } from '../../../records';
import { CommandIDs } from '../../../tokens';
import { FakeMLOps, settle } from '../../support/fakes';

const version = (n: number, aliases: string[] = []) => ({
  model: 'churn',
  version: n,
  aliases,
  run_id: null,
  created: null
});

const REFUSED: IPromotion = {
  status: 'refused',
  model: 'churn',
  version: 2,
  alias: 'champion',
  previous: 1,
  gates: [
    { gate: 'auc ≥ 0.75', passed: true, reason: '0.8 is enough' },
    { gate: 'beats champion', passed: false, reason: '0.8 is below 0.9' }
  ],
  reasons: ['0.8 is below 0.9', 'you are the author'],
  request: null
};

async function setUp() {
  const mlops = new FakeMLOps({ models: { rows: [version(1, ['champion']), version(2)] } });
  const commands = new CommandRegistry();
  const execute = jest.fn();
  commands.addCommand(CommandIDs.promote, { execute });
  const model = new ModelsModel(mlops);
  const draw = () => <ModelsBody model={model} commands={commands} />;
  const view = render(draw());
  model.stateChanged.connect(() => view.rerender(draw()));
  await act(async () => {
    model.active = true;
    await settle();
  });
  return { mlops, execute };
}

describe('Models', () => {
  it('has a row per version, newest first, with the way to promote it', async () => {
    const { execute } = await setUp();
    const [second, first] = screen.getAllByRole('listitem');
    expect(within(first).getByText('champion')).toBeTruthy();
    act(() => within(second).getByRole('button', { name: 'Promote' }).click());
    expect(execute).toHaveBeenCalledWith({ model: 'churn/2' });
  });

  it('shows each gate of a refused promotion in the row of its version', async () => {
    const { mlops } = await setUp();
    const answer = { ok: false, result: REFUSED };
    act(() => mlops.acted.emit({ verb: 'promote', args: {}, phase: 'ended', answer }));
    const outcome = screen.getByRole('status');
    expect(outcome.closest('.jp-mlops-List > li')?.textContent).toContain('v2');
    const gates = within(within(outcome).getByRole('list', { name: 'Gates' }));
    expect(gates.getAllByRole('listitem').map(item => item.textContent)).toEqual([
      'auc ≥ 0.75passed0.8 is enough',
      'beats championfailed0.8 is below 0.9'
    ]);
    const reasons = within(within(outcome).getByRole('list', { name: 'Reasons' }));
    expect(reasons.getByRole('listitem').textContent).toBe('you are the author');
  });
});
