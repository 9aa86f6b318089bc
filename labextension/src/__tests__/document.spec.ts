import type { INotebookTracker } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';

const scheduled = new Signal<object, { notebook: object }>({});

jest.mock('@jupyterlab/notebook', () => ({
  NotebookActions: {
    get executionScheduled() {
      return scheduled;
    }
  }
}));

import { LiveDocument, TARGET } from '../document';

interface IFakeComm {
  id: string;
  isDisposed: boolean;
  send: jest.Mock;
  onClose?: (message: unknown) => void;
}

function comm(id: string): IFakeComm {
  return { id, isDisposed: false, send: jest.fn() };
}

function cell(type: string, id: string, source: string) {
  return { type, id, sharedModel: { getSource: () => source } };
}

function opened(known: string[] = []) {
  const targets: { [name: string]: (comm: IFakeComm) => void } = {};
  const made = new Map<string, IFakeComm>();
  const kernel = {
    handleComms: true,
    registerCommTarget: (name: string, take: (comm: IFakeComm) => void) => {
      targets[name] = take;
    },
    requestCommInfo: async () => ({
      content: { status: 'ok', comms: Object.fromEntries(known.map(id => [id, {}])) }
    }),
    hasComm: (id: string) => made.has(id),
    createComm: (_: string, id: string) => {
      made.set(id, comm(id));
      return made.get(id);
    }
  };
  const cells = [cell('code', 'a', 'x = 1'), cell('markdown', 'm', '# t'), cell('code', 'b', 'y')];
  const notebook = { model: { cells } };
  const panel = {
    content: notebook,
    sessionContext: { session: { kernel }, kernelChanged: new Signal<object, void>({}) }
  };
  const tracker = {
    widgetAdded: new Signal<object, object>({}),
    forEach: (take: (each: object) => void) => take(panel),
    find: (is: (each: object) => boolean) => (is(panel) ? panel : undefined)
  };
  new LiveDocument(tracker as unknown as INotebookTracker);
  const run = () => scheduled.emit({ notebook });
  return { targets, made, cells, run };
}

const settled = () => new Promise(resolve => setTimeout(resolve, 0));

describe('the live document', () => {
  it('sends the code cells on the comm that the kernel has opened, before a cell runs', async () => {
    const { targets, run } = opened();
    await settled();
    const link = comm('1');
    targets[TARGET](link);
    run();
    expect(link.send).toHaveBeenCalledWith({
      cells: [
        { id: 'a', source: 'x = 1' },
        { id: 'b', source: 'y' }
      ]
    });
  });

  it('sends nothing to a kernel that has opened none', async () => {
    const { made, run } = opened();
    await settled();
    run();
    expect(made.size).toBe(0);
  });

  it('sends a document once, and again when it has changed', async () => {
    const { targets, cells, run } = opened();
    await settled();
    const link = comm('1');
    targets[TARGET](link);
    run();
    run();
    expect(link.send).toHaveBeenCalledTimes(1);
    cells[0] = cell('code', 'a', 'x = 2');
    run();
    expect(link.send).toHaveBeenCalledTimes(2);
  });

  it('finds the comm again after the page was loaded anew', async () => {
    const { made, run } = opened(['old']);
    await settled();
    run();
    expect(made.get('old')?.send).toHaveBeenCalledTimes(1);
  });

  it('stops when the kernel has closed the comm', async () => {
    const { targets, run } = opened();
    await settled();
    const link = comm('1');
    targets[TARGET](link);
    link.onClose?.({});
    run();
    expect(link.send).not.toHaveBeenCalled();
  });
});
