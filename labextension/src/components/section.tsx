import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { useUniqueId } from './unique';

/** A section with a heading, a switch to fold it, and room for its actions. */
export function SectionBox(props: {
  title: string;
  count?: number | null;
  actions?: React.ReactNode;
  /** Unfolds the section when it changes to something. */
  reveal?: string | null;
  children: React.ReactNode;
}): JSX.Element {
  const [open, setOpen] = React.useState(true);
  const id = useUniqueId();
  React.useEffect(() => {
    if (props.reveal) {
      setOpen(true);
    }
  }, [props.reveal]);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section className="jp-mlops-Section" aria-labelledby={`${id}-title`}>
      <div className="jp-mlops-Section-header">
        <button
          type="button"
          className="jp-mlops-Section-fold"
          aria-label="Fold"
          aria-describedby={`${id}-title`}
          aria-expanded={open}
          aria-controls={`${id}-content`}
          onClick={() => setOpen(!open)}
        >
          <Caret.react tag="span" />
        </button>
        {/* The heading repeats the switch for the mouse; keyboards have the button. */}
        <h3 id={`${id}-title`} onClick={() => setOpen(!open)}>
          {props.title}
        </h3>
        {props.count ? <span className="jp-mlops-Count">{props.count}</span> : null}
        <div className="jp-mlops-Section-actions">{props.actions}</div>
      </div>
      <div id={`${id}-content`} className="jp-mlops-Section-content" hidden={!open}>
        {props.children}
      </div>
    </section>
  );
}
