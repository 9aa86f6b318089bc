import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { useUniqueId } from './unique';

/** A row of a list that opens to show more, with room for an action beside it. */
export function Expandable(props: {
  label: React.ReactNode;
  /** Stays whole when the label is cut short. */
  suffix?: string;
  title?: string;
  minor: React.ReactNode;
  open: boolean;
  onToggle: () => void;
  /** Draws the action; it gets the id of the row's name, to be described by. */
  action?: (nameId: string) => React.ReactNode;
  children?: React.ReactNode;
}): JSX.Element {
  const id = useUniqueId();
  const Caret = props.open ? caretDownIcon : caretRightIcon;
  return (
    <li>
      <div className="jp-mlops-RowWithAction">
        <button
          type="button"
          className="jp-mlops-Row"
          aria-expanded={props.open}
          aria-controls={props.open ? `${id}-more` : undefined}
          onClick={props.onToggle}
        >
          <Caret.react tag="span" className="jp-mlops-Caret" />
          <span className="jp-mlops-Row-text">
            <span className="jp-mlops-Row-line" id={`${id}-name`}>
              <span className="jp-mlops-Name" title={props.title}>
                {props.label}
              </span>
              {props.suffix ? <span className="jp-mlops-Suffix">{props.suffix}</span> : null}
            </span>
            <span className="jp-mlops-Row-line jp-mlops-Minor">{props.minor}</span>
          </span>
        </button>
        {props.action?.(`${id}-name`)}
      </div>
      {props.open ? (
        <div id={`${id}-more`} className="jp-mlops-More-details">
          {props.children}
        </div>
      ) : null}
    </li>
  );
}
