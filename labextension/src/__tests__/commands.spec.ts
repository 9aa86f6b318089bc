import { Notification } from '@jupyterlab/apputils';
import { CommandRegistry } from '@lumino/commands';

import { addCommands } from '../commands';
import { CommandIDs, MlopsError } from '../tokens';
import { FakeMLOps } from './support/fakes';

function setUp(answers: ConstructorParameters<typeof FakeMLOps>[0] = {}) {
  const mlops = new FakeMLOps(answers);
  const commands = new CommandRegistry();
  const open = jest.fn();
  addCommands(commands, mlops, open);
  return { mlops, commands, open };
}

function told(): string[] {
  return Notification.manager.notifications.map(({ type, message }) => `${type}: ${message}`);
}

describe('commands', () => {
  afterEach(() => Notification.dismiss());

  it('all have a label', () => {
    const { commands } = setUp();
    expect(Object.values(CommandIDs).filter(id => !commands.label(id))).toEqual([]);
  });

  it('offer no snapshot without a kernel', () => {
    const { mlops, commands } = setUp();
    expect(commands.isEnabled(CommandIDs.snapshot)).toBe(true);
    mlops.kernel = 'none';
    expect(commands.isEnabled(CommandIDs.snapshot)).toBe(false);
  });

  it('promote as asked, and tell each reason of a refusal', async () => {
    const { mlops, commands } = setUp({
      promote: {
        status: 'refused',
        model: 'churn',
        version: 2,
        alias: 'champion',
        previous: 1,
        gates: [],
        reasons: ['auc 0.7 is below 0.75', 'no approval'],
        request: null
      }
    });
    await commands.execute(CommandIDs.promote, { model: 'churn/2', to: 'champion' });
    expect(mlops.calls).toEqual([{ verb: 'promote', args: { model: 'churn/2', to: 'champion' } }]);
    expect(told()).toEqual([
      'error: Refused churn version 2 as champion: auc 0.7 is below 0.75; no approval'
    ]);
  });

  it('tell an error with its hint instead of throwing', async () => {
    const { commands } = setUp({
      snapshot: () => Promise.reject(new MlopsError('The kernel is busy.', 'Wait.'))
    });
    await commands.execute(CommandIDs.snapshot);
    expect(told()).toEqual(['error: The kernel is busy.\nWait.']);
  });

  it('show the sidebar with the run selected', async () => {
    const { mlops, commands, open } = setUp();
    await commands.execute(CommandIDs.selectRun, { run_id: 'abc' });
    expect(mlops.selectedRun).toBe('abc');
    expect(open).toHaveBeenCalled();
  });
});
