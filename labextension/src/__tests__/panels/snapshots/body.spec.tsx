import { act, render, screen } from '@testing-library/react';
import { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { SnapshotsBody } from '../../../panels/snapshots/body';
import { SnapshotsModel } from '../../../panels/snapshots/model';
import { MlopsError, type KernelState } from '../../../tokens';
import { FakeMLOps, settle } from '../../support/fakes';

async function setUp(kernel: KernelState) {
  const mlops = new FakeMLOps({ snapshots: { rows: [] } });
  mlops.kernel = kernel;
  const commands = new CommandRegistry();
  const model = new SnapshotsModel(mlops);
  const draw = () => <SnapshotsBody model={model} commands={commands} />;
  const view = render(draw());
  model.stateChanged.connect(() => view.rerender(draw()));
  await act(async () => {
    model.active = true;
    await settle();
  });
  return mlops;
}

const button = () => screen.getByRole<HTMLButtonElement>('button', { name: 'Snapshot' });

describe('Snapshots', () => {
  it('explains why there is nothing to take a snapshot of', async () => {
    await setUp('none');
    expect(button().disabled).toBe(true);
    const reason = document.getElementById(button().getAttribute('aria-describedby') ?? '');
    expect(reason?.textContent).toContain('open a notebook');
  });

  it('offers a snapshot as soon as there is a kernel', async () => {
    const mlops = await setUp('none');
    mlops.kernel = 'idle';
    act(() => mlops.moved.emit());
    expect(button().disabled).toBe(false);
  });

  it('tells that the kernel is busy while it waits, and when it gave up', async () => {
    const mlops = await setUp('busy');
    act(() => mlops.acted.emit({ verb: 'snapshot', args: {}, phase: 'begun' }));
    expect(screen.getByRole('status').textContent).toContain('busy');
    expect(button().disabled).toBe(true);
    const error = new MlopsError('The kernel is busy.', 'Try again.');
    act(() => mlops.acted.emit({ verb: 'snapshot', args: {}, phase: 'ended', error }));
    expect(screen.getByRole('alert').textContent).toContain('The kernel is busy.');
    expect(button().disabled).toBe(false);
  });

  it('names what a restore could not bring back', async () => {
    const mlops = await setUp('idle');
    const result = {
      snapshot: 's',
      restored: ['df'],
      missing: [{ name: 'conn', reason: 'a connection' }]
    };
    act(() =>
      mlops.acted.emit({
        verb: 'restore',
        args: {},
        phase: 'ended',
        answer: { ok: true, result }
      })
    );
    expect(screen.getByRole('row', { name: 'conn a connection' })).toBeTruthy();
  });
});
