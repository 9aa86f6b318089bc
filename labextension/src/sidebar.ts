/** The sidebar: the header, the sections below it, and when they load. */
import { UseSignal, ReactWidget } from '@jupyterlab/ui-components';
import { ArrayExt } from '@lumino/algorithm';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import { Debouncer, Poll } from '@lumino/polling';
import { Panel } from '@lumino/widgets';
import { createElement } from 'react';

import { Header } from './components/header';
import { mlopsIcon } from './icons';
import type { IChange, IMLOps, ISection, ISidebar } from './tokens';

/** The sidebar's id in the shell. */
export const SIDEBAR_ID = 'mlops-sidebar';

/** How often, in seconds, the sidebar asks although no event came. */
const REFRESH_SECONDS = 30;

/** How long, in milliseconds, changes must have paused before the header asks what waits. */
const SETTLE = 300;

/** The MLOps tab of the left area; it asks for nothing while hidden. */
export class Sidebar extends Panel implements ISidebar {
  constructor(
    private readonly _mlops: IMLOps,
    commands: CommandRegistry
  ) {
    super();
    this.id = SIDEBAR_ID;
    this.addClass('jp-mlops-Sidebar');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'MLOps');
    this.title.icon = mlopsIcon;
    this.title.caption = 'MLOps';
    this.addWidget(createHeader(_mlops, commands));
    this._poll = new Poll({
      auto: false,
      name: '@mlops-jupyter/lab:refresh',
      factory: () => this._load(),
      frequency: every(REFRESH_SECONDS),
      standby: 'when-hidden'
    });
    // What waits, in the header, is decided by promotions and approvals.
    this._locate = new Debouncer(() => _mlops.locate(), SETTLE);
    _mlops.moved.connect(this._onMoved, this);
    _mlops.changed.connect(this._onChanged, this);
  }

  /** How often, in seconds, the sidebar asks although no event came. */
  set refreshSeconds(seconds: number) {
    this._poll.frequency = every(seconds);
  }

  add(section: ISection, rank: number): void {
    const at = ArrayExt.upperBound(this._ranks, rank, (a, b) => a - b);
    ArrayExt.insert(this._ranks, at, rank);
    this.insertWidget(at + 1, section); // The header comes first.
    this._sections.push(section);
    section.model.active = this.isVisible;
  }

  override dispose(): void {
    this._poll.dispose();
    this._locate.dispose();
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._setActive(true);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._setActive(this.isVisible);
  }

  protected override onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    this._setActive(false);
  }

  private _setActive(active: boolean): void {
    this._active = active;
    this._sections.forEach(section => (section.model.active = active));
    // A poll that was never started need not be stopped.
    void (active ? this._poll.refresh() : this._poll.stop());
  }

  private _onMoved(): void {
    if (this._active && this._mlops.notebook !== this._notebook) {
      this._notebook = this._mlops.notebook;
      void this._mlops.locate();
    }
  }

  private _onChanged(_: IMLOps, change: IChange): void {
    if (this._active && change.topic === 'models') {
      this._locate.invoke().catch(() => {
        // Rejected only when the sidebar is disposed meanwhile.
      });
    }
  }

  private _load(): Promise<void> {
    this._notebook = this._mlops.notebook;
    return this._mlops.refresh();
  }

  private readonly _poll: Poll;
  private readonly _locate: Debouncer;
  private readonly _sections: ISection[] = [];
  private readonly _ranks: number[] = [];
  private _active = false;
  private _notebook: string | null = null;
}

/** An interval that grows while the server does not answer; a poll by itself allows for no more than 30 seconds. */
function every(seconds: number): { interval: number; max: number; backoff: boolean } {
  return { interval: seconds * 1000, max: seconds * 8000, backoff: true };
}

function createHeader(mlops: IMLOps, commands: CommandRegistry): ReactWidget {
  const header = ReactWidget.create(
    createElement(UseSignal<IMLOps, boolean>, {
      signal: mlops.located,
      children: () => createElement(Header, { mlops, commands })
    })
  );
  header.addClass('jp-mlops-Header');
  return header;
}
