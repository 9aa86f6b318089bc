/** The questions that commands ask before they act. */
import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

/** What the promote dialog was filled in with. */
export interface IPromoteValue {
  model: string;
  to: string;
  message: string;
}

/** The body of the promote dialog: the alias, a message and, unless it is given, the version. */
export class PromoteForm extends Widget implements Dialog.IBodyWidget<IPromoteValue> {
  constructor(versions: readonly string[], alias = 'champion') {
    super();
    this.addClass('jp-mlops-Form');
    this._model = select(versions);
    this._alias = input(alias, 'champion');
    this._message = input('', 'Why this version');
    if (versions.length > 1) {
      this.node.append(labelled('Version', this._model));
    }
    this.node.append(labelled('Alias', this._alias));
    this.node.append(labelled('Message (optional)', this._message));
  }

  /** What the fields say now. */
  getValue(): IPromoteValue {
    return {
      model: this._model.value,
      to: this._alias.value.trim(),
      message: this._message.value.trim()
    };
  }

  private readonly _model: HTMLSelectElement;
  private readonly _alias: HTMLInputElement;
  private readonly _message: HTMLInputElement;
}

/** Ask how to promote one of some versions; null when called off. */
export async function askPromotion(versions: readonly string[]): Promise<IPromoteValue | null> {
  const title = versions.length === 1 ? `Promote ${versions[0]}` : 'Promote a model version';
  const dialog = new Dialog({
    title,
    body: new PromoteForm(versions),
    focusNodeSelector: 'input',
    buttons: [Dialog.cancelButton({ label: 'Cancel' }), Dialog.okButton({ label: 'Promote' })]
  });
  // JupyterLab names only those dialogs whose body is text.
  dialog.node.setAttribute('aria-label', title);
  const result = await dialog.launch();
  dialog.dispose();
  return result.button.accept ? result.value : null;
}

/** Ask whether to bring a snapshot back. */
export async function confirmRestore(label: string, notebook: string | null): Promise<boolean> {
  const result = await showDialog({
    title: `Restore ${label}?`,
    body: `Variables in the kernel of ${notebook ?? 'the current notebook'} that have the same names are replaced.`,
    buttons: [Dialog.cancelButton({ label: 'Cancel' }), Dialog.okButton({ label: 'Restore' })]
  });
  return result.button.accept;
}

/** One of several things to pick. */
export interface IChoice {
  key: string;
  label: string;
}

/** Ask which one; null when called off. */
export async function pick(
  title: string,
  label: string,
  choices: readonly IChoice[]
): Promise<IChoice | null> {
  const items = choices.map(choice => choice.label);
  const result = await InputDialog.getItem({ title, label, items });
  const chosen = result.button.accept ? items.indexOf(result.value ?? '') : -1;
  return choices[chosen] ?? null;
}

/** Ask for a pipeline file, offering those that are known; null when called off. */
export async function askFile(known: readonly string[]): Promise<string | null> {
  const result = await InputDialog.getItem({
    title: 'Run a pipeline',
    label: 'Pipeline file, relative to the workspace',
    items: [...known],
    current: known[0] ?? 'pipeline.yaml',
    editable: true,
    okLabel: 'Run'
  });
  return result.button.accept ? result.value?.trim() || null : null;
}

let made = 0;

function labelled(text: string, field: HTMLElement): HTMLElement {
  const label = document.createElement('label');
  label.textContent = text;
  field.id = `jp-mlops-field-${++made}`;
  label.htmlFor = field.id;
  const box = document.createElement('div');
  box.className = 'jp-mlops-Field';
  box.append(label, field);
  return box;
}

function input(value: string, placeholder: string): HTMLInputElement {
  const field = document.createElement('input');
  field.className = 'jp-mod-styled';
  field.type = 'text';
  field.value = value;
  field.placeholder = placeholder;
  field.spellcheck = false;
  return field;
}

function select(options: readonly string[]): HTMLSelectElement {
  const field = document.createElement('select');
  field.className = 'jp-mod-styled';
  for (const text of options) {
    field.append(new Option(text, text));
  }
  return field;
}
