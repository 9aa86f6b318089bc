/** Every click, palette entry and shortcut goes through these commands. */
import { Notification } from '@jupyterlab/apputils';
import { refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyJSONObject, ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { count } from './components/format';
import { askFile, askPromotion, confirmRestore, pick, type IChoice } from './dialogs';
import { mlopsIcon } from './icons';
import type { IPromotion } from './records';
import { CommandIDs, MlopsError, type IMLOps } from './tokens';

type Args = ReadonlyPartialJSONObject;

/** Shows the sidebar. */
export type Open = () => void;

/** Add the commands of the sidebar to the registry. */
export function addCommands(commands: CommandRegistry, mlops: IMLOps, open: Open): void {
  addViewCommands(commands, mlops, open);
  addKernelCommands(commands, mlops);
  addWorkspaceCommands(commands, mlops);
}

function addViewCommands(commands: CommandRegistry, mlops: IMLOps, open: Open): void {
  commands.addCommand(CommandIDs.open, {
    label: 'Open the MLOps Sidebar',
    icon: mlopsIcon,
    describedBy: { args: {} },
    execute: open
  });
  commands.addCommand(CommandIDs.refresh, {
    label: 'Refresh the MLOps Sidebar',
    icon: refreshIcon,
    describedBy: { args: {} },
    execute: () => mlops.refresh()
  });
  commands.addCommand(CommandIDs.selectRun, {
    label: 'Show a Run in the MLOps Sidebar',
    describedBy: describe({ run_id: 'The id of the run; none closes the one that is open.' }),
    execute: args => {
      const run = text(args, 'run_id');
      mlops.select(run);
      if (run) {
        open();
      }
    }
  });
}

function addKernelCommands(commands: CommandRegistry, mlops: IMLOps): void {
  const hasKernel = () => mlops.kernel !== 'none';
  commands.addCommand(CommandIDs.snapshot, {
    label: 'Snapshot the Current Notebook',
    caption: "Capture the variables, cells and environment of the current notebook's kernel",
    describedBy: describe({ name: 'A name for the snapshot.' }),
    isEnabled: hasKernel,
    execute: args => reporting(() => snapshot(mlops, args))
  });
  commands.addCommand(CommandIDs.restore, {
    label: 'Restore a Snapshot…',
    caption: "Bring a snapshot's variables back into the current notebook's kernel",
    describedBy: describe({ snapshot: 'The id of the snapshot; asked for when missing.' }),
    isEnabled: hasKernel,
    execute: args => reporting(() => restore(mlops, args))
  });
}

function addWorkspaceCommands(commands: CommandRegistry, mlops: IMLOps): void {
  commands.addCommand(CommandIDs.promote, {
    label: 'Promote a Model Version…',
    caption: 'Run the gates of the policy and move an alias',
    describedBy: describe({
      model: 'The version as NAME/VERSION; asked for when missing.',
      to: 'The alias; asked for when missing.',
      message: 'Why.'
    }),
    execute: args => reporting(() => promote(mlops, args))
  });
  commands.addCommand(CommandIDs.runPipeline, {
    label: 'Run a Pipeline…',
    caption: 'Execute a pipeline file of the workspace',
    describedBy: describe({ file: 'The file, relative to the workspace; asked for when missing.' }),
    execute: args => reporting(() => runPipeline(mlops, args))
  });
}

async function snapshot(mlops: IMLOps, args: Args): Promise<void> {
  const name = text(args, 'name');
  const { result } = await mlops.call('snapshot', name ? { name } : {});
  const missing = result.missing.length ? ` ${result.missing.length} could not be kept.` : '';
  Notification.success(`Snapshot taken: ${count(result.variables, 'variable')}.${missing}`, TOAST);
}

async function restore(mlops: IMLOps, args: Args): Promise<void> {
  const given = text(args, 'snapshot');
  const chosen = given
    ? { key: given, label: text(args, 'name') ?? given }
    : await pickSnapshot(mlops);
  if (!chosen || !(await confirmRestore(chosen.label, mlops.notebook))) {
    return;
  }
  const { result } = await mlops.call('restore', { snapshot: chosen.key });
  const done = `Restored ${count(result.restored.length, 'variable')} from ${chosen.label}.`;
  if (result.missing.length) {
    Notification.warning(`${done} Missing: ${result.missing.map(m => m.name).join(', ')}.`, TOAST);
  } else {
    Notification.success(done, TOAST);
  }
}

async function pickSnapshot(mlops: IMLOps): Promise<IChoice | null> {
  const { rows } = (await mlops.call('snapshots', {})).result;
  if (rows.length === 0) {
    throw new MlopsError('There are no snapshots yet.', 'Take one first.');
  }
  const choices = rows.map(row => ({
    key: row.snapshot,
    label: row.name ? `${row.name} (${row.snapshot})` : row.snapshot
  }));
  return pick('Restore a snapshot', 'Snapshot', choices);
}

async function promote(mlops: IMLOps, args: Args): Promise<void> {
  const given = { model: text(args, 'model'), to: text(args, 'to'), message: text(args, 'message') };
  const wanted =
    given.model && given.to
      ? { model: given.model, to: given.to, message: given.message ?? '' }
      : await askPromotion(given.model ? [given.model] : await allVersions(mlops));
  if (!wanted) {
    return;
  }
  const { model, to, message } = wanted;
  const { result } = await mlops.call('promote', { model, to, ...(message ? { message } : {}) });
  tellPromotion(result);
}

async function allVersions(mlops: IMLOps): Promise<string[]> {
  const { rows } = (await mlops.call('models', {})).result;
  if (rows.length === 0) {
    throw new MlopsError('There are no models yet.', 'Register one first: %mlops register NAME');
  }
  return rows.map(row => `${row.model}/${row.version}`);
}

function tellPromotion({ status, model, version, alias, reasons }: IPromotion): void {
  const what = `${model} version ${version} as ${alias}`;
  if (status === 'promoted') {
    Notification.success(`Promoted ${what}.`, TOAST);
  } else if (status === 'pending') {
    Notification.info(`${what} waits for approval.`, TOAST);
  } else {
    Notification.error(`Refused ${what}: ${reasons.join('; ')}`, TOAST);
  }
}

async function runPipeline(mlops: IMLOps, args: Args): Promise<void> {
  const file = text(args, 'file') ?? (await askFile(await knownFiles(mlops)));
  if (!file) {
    return;
  }
  const { ok, result } = await mlops.call('pipeline run', { file });
  const words = `Pipeline ${file}: ${result.state ?? (ok ? 'succeeded' : 'failed')}.`;
  Notification.emit(words, ok ? 'success' : 'error', TOAST);
}

async function knownFiles(mlops: IMLOps): Promise<string[]> {
  const { rows } = (await mlops.call('pipeline history', {})).result;
  return [...new Set(rows.map(row => row.file))];
}

const TOAST = { autoClose: 5000 };

/** Act, and show an error to the user rather than to the console. */
async function reporting(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (reason) {
    const { message, hint } = reason as MlopsError;
    Notification.error(hint ? `${message}\n${hint}` : message, TOAST);
  }
}

function text(args: Args, name: string): string | null {
  const value = args[name];
  return typeof value === 'string' && value ? value : null;
}

function describe(properties: { [name: string]: string }): { args: ReadonlyJSONObject } {
  const described = Object.entries(properties).map(([name, description]) => [
    name,
    { type: 'string', description }
  ]);
  return { args: { type: 'object', properties: Object.fromEntries(described) } };
}
