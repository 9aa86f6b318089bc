/** A section of the sidebar as a widget. */
import { VDomRenderer } from '@jupyterlab/ui-components';
import { createElement, type ReactElement } from 'react';

import { Boundary } from './components/boundary';
import type { ISection, ISectionModel } from './tokens';

/** Draws a section's body whenever its model changes. */
export class Section<M extends ISectionModel> extends VDomRenderer<M> implements ISection {
  constructor(
    model: M,
    private readonly _body: (model: M) => ReactElement
  ) {
    super(model);
    this.addClass('jp-mlops-SectionWidget');
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this.model.dispose();
      super.dispose();
    }
  }

  protected override render(): ReactElement {
    return createElement(Boundary, null, this._body(this.model));
  }
}
