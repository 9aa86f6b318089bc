/** The plugins of the extension, one per feature. */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { KernelDoor } from './comm';
import { addCommands } from './commands';
import { LiveDocument } from './document';
import { createModels } from './panels/models';
import { createPipelines } from './panels/pipelines';
import { createRuns } from './panels/runs';
import { createSnapshots } from './panels/snapshots';
import { NotebookPlace } from './place';
import { Server } from './request';
import { MLOps } from './service';
import { Sidebar, SIDEBAR_ID } from './sidebar';
import { CommandIDs, IMLOps, ISidebar, type ISection } from './tokens';

export { CommandIDs, IMLOps, ISidebar } from './tokens';

const SERVICE_ID = '@mlops-jupyter/lab:service';
const SIDEBAR_PLUGIN_ID = '@mlops-jupyter/lab:sidebar';

const service: JupyterFrontEndPlugin<IMLOps> = {
  id: SERVICE_ID,
  description: 'Provides the MLOps workspace of the current notebook and its verbs.',
  autoStart: true,
  provides: IMLOps,
  requires: [INotebookTracker],
  optional: [ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    settings: ISettingRegistry | null
  ): IMLOps => {
    const { contents, events, serverSettings } = app.serviceManager;
    const kernel = new KernelDoor();
    follow(settings, SERVICE_ID, 'kernelSeconds', seconds => {
      kernel.patience.idle = seconds * 1000;
    });
    return new MLOps({
      server: new Server(serverSettings),
      kernel,
      place: new NotebookPlace(tracker, contents),
      events: events.stream
    });
  }
};

const sidebar: JupyterFrontEndPlugin<ISidebar> = {
  id: SIDEBAR_PLUGIN_ID,
  description: 'Provides the MLOps tab of the left area, to which sections are added.',
  autoStart: true,
  provides: ISidebar,
  requires: [IMLOps],
  optional: [ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    mlops: IMLOps,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null
  ): ISidebar => {
    const panel = new Sidebar(mlops, app.commands);
    app.shell.add(panel, 'left', { rank: 450, type: 'MLOps' });
    restorer?.add(panel, SIDEBAR_ID);
    follow(settings, SIDEBAR_PLUGIN_ID, 'refreshSeconds', seconds => {
      panel.refreshSeconds = seconds;
    });
    return panel;
  }
};

const commands: JupyterFrontEndPlugin<void> = {
  id: '@mlops-jupyter/lab:commands',
  description: 'Adds the MLOps commands, and the palette entries that execute them.',
  autoStart: true,
  requires: [IMLOps],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, mlops: IMLOps, palette: ICommandPalette | null): void => {
    addCommands(app.commands, mlops, () => app.shell.activateById(SIDEBAR_ID));
    const shown = Object.values(CommandIDs).filter(id => id !== CommandIDs.selectRun);
    shown.forEach(command => palette?.addItem({ command, category: 'MLOps' }));
  }
};

const liveDocument: JupyterFrontEndPlugin<void> = {
  id: '@mlops-jupyter/lab:document',
  description: 'Tells kernels how their notebooks stand in the editor when cells are executed.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker): void => {
    new LiveDocument(tracker);
  }
};

/** Follow a numeric setting; without a settings registry the default holds. */
function follow(
  registry: ISettingRegistry | null,
  plugin: string,
  name: string,
  apply: (value: number) => void
): void {
  registry?.load(plugin).then(
    settings => {
      const read = () => apply(settings.get(name).composite as number);
      settings.changed.connect(read);
      read();
    },
    reason => console.warn(`The settings of ${plugin} could not be read.`, reason)
  );
}

function sectionPlugin(
  name: string,
  description: string,
  rank: number,
  create: (mlops: IMLOps, commands: JupyterFrontEnd['commands']) => ISection
): JupyterFrontEndPlugin<void> {
  return {
    id: `@mlops-jupyter/lab:${name}`,
    description,
    autoStart: true,
    requires: [IMLOps, ISidebar],
    activate: (app: JupyterFrontEnd, mlops: IMLOps, sidebar: ISidebar): void =>
      sidebar.add(create(mlops, app.commands), rank)
  };
}

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  service,
  commands,
  liveDocument,
  sidebar,
  sectionPlugin('runs', 'Adds the runs of the workspace to the MLOps sidebar.', 10, createRuns),
  sectionPlugin(
    'snapshots',
    'Adds the snapshots of the workspace, and the way to take one, to the MLOps sidebar.',
    20,
    createSnapshots
  ),
  sectionPlugin(
    'models',
    'Adds model versions, and the way to promote them, to the MLOps sidebar.',
    30,
    createModels
  ),
  sectionPlugin(
    'pipelines',
    'Adds pipelines, their past runs and the way to run them again, to the MLOps sidebar.',
    40,
    createPipelines
  )
];

export default plugins;
