/** Tells a kernel how its notebook stands in the editor, so that a run can say where it parts from it. */
import { NotebookActions, type INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

/** The comm that the kernel opens when our extension is loaded in it. */
export const TARGET = 'mlops.document';

/**
 * Sends the code cells of a notebook to its kernel before a cell is executed.
 *
 * The kernel opens the comm, so one without our extension is sent nothing. After the page was
 * loaded anew the kernel is asked which comm it has.
 */
export class LiveDocument {
  constructor(private readonly _tracker: INotebookTracker) {
    _tracker.widgetAdded.connect((_, panel) => this._follow(panel));
    _tracker.forEach(panel => this._follow(panel));
    NotebookActions.executionScheduled.connect((_, { notebook }) => {
      const panel = this._tracker.find(candidate => candidate.content === notebook);
      if (panel) {
        this._send(panel);
      }
    });
  }

  private _follow(panel: NotebookPanel): void {
    const { sessionContext } = panel;
    const listen = () => {
      const kernel = sessionContext.session?.kernel;
      if (kernel) {
        void this._listen(kernel);
      }
    };
    sessionContext.kernelChanged.connect(listen);
    listen();
  }

  private async _listen(kernel: Kernel.IKernelConnection): Promise<void> {
    if (!kernel.handleComms) {
      return;
    }
    kernel.registerCommTarget(TARGET, comm => this._keep(kernel, comm));
    try {
      const { content } = await kernel.requestCommInfo({ target_name: TARGET });
      const known = content.status === 'ok' ? Object.keys(content.comms) : [];
      for (const id of known.filter(id => !kernel.hasComm(id))) {
        this._keep(kernel, kernel.createComm(TARGET, id));
      }
    } catch {
      // The kernel has gone, or was restarted, while it was asked: the next one opens a comm itself.
    }
  }

  private _keep(kernel: Kernel.IKernelConnection, comm: Kernel.IComm): void {
    const link = { comm, sent: '' };
    this._links.set(kernel, link);
    comm.onClose = () => {
      if (this._links.get(kernel) === link) {
        this._links.delete(kernel);
      }
    };
  }

  private _send(panel: NotebookPanel): void {
    const kernel = panel.sessionContext.session?.kernel;
    const link = kernel ? this._links.get(kernel) : undefined;
    const cells = panel.content.model?.cells;
    if (!link || link.comm.isDisposed || !cells) {
      return;
    }
    const code = Array.from(cells).filter(cell => cell.type === 'code');
    const told = code.map(cell => ({ id: cell.id, source: cell.sharedModel.getSource() }));
    const text = JSON.stringify(told);
    if (text !== link.sent) {
      link.sent = text;
      link.comm.send({ cells: told });
    }
  }

  private readonly _links = new WeakMap<
    Kernel.IKernelConnection,
    { comm: Kernel.IComm; sent: string }
  >();
}
