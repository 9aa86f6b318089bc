/** Small pieces that every section is made of. */
import * as React from 'react';

import { formatAgo } from './format';

type Tone = 'good' | 'bad' | 'busy' | 'still';

const TONES: { readonly [word: string]: Tone } = {
  finished: 'good',
  succeeded: 'good',
  cached: 'good',
  promoted: 'good',
  passed: 'good',
  failed: 'bad',
  refused: 'bad',
  timed_out: 'bad',
  upstream_failed: 'bad',
  running: 'busy',
  pending: 'busy',
  scheduled: 'busy'
};

/** The drawing of each tone: its shape differs too, so that colour is never alone. */
const SHAPES: { readonly [T in Tone]: string } = {
  good: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM6.900 11.400 3.800 8.300l1.200-1.200 1.900 1.900 4.100-4.100 1.200 1.200z',
  bad: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm3.200 9-1.200 1.200-2-2-2 2L4.800 10l2-2-2-2L6 4.800l2 2 2-2L11.200 6l-2 2z',
  busy: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.800a5.200 5.200 0 1 1 0 10.400A5.200 5.200 0 0 1 8 2.800zm-.800 1.700v4l3 1.800.8-1.300-2.300-1.400V4.500z',
  still: 'M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.800a5.200 5.200 0 1 1 0 10.400A5.200 5.200 0 0 1 8 2.800z'
};

/** A state as an icon and a word. */
export function State(props: { state: string }): JSX.Element {
  const word = props.state.toLowerCase();
  const tone = TONES[word] ?? 'still';
  return (
    <span className="jp-mlops-State" data-tone={tone}>
      <svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        <path d={SHAPES[tone]} fillRule="evenodd" />
      </svg>
      {word.replace(/_/g, ' ')}
    </span>
  );
}

/** A moment as how long ago it was, with the full date as its title. */
export function Ago(props: { time: string | null }): JSX.Element | null {
  const { time } = props;
  if (!time) {
    return null;
  }
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {formatAgo(time)}
    </time>
  );
}

/** A short word with a border, such as an alias. */
export function Chip(props: { children: React.ReactNode; strong?: boolean }): JSX.Element {
  return (
    <span className="jp-mlops-Chip" data-strong={props.strong || undefined}>
      {props.children}
    </span>
  );
}

/** A small button in the manner of JupyterLab's dialogs and toolbars. */
export function Button(props: {
  children: React.ReactNode;
  onClick: () => void;
  describedBy?: string;
  disabled?: boolean;
  primary?: boolean;
}): JSX.Element {
  return (
    <button
      type="button"
      className="jp-mlops-Button"
      data-primary={props.primary || undefined}
      disabled={props.disabled}
      aria-describedby={props.describedBy}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}

/** A button that looks like a link and stays within the panel. */
export function LinkButton(props: {
  children: React.ReactNode;
  onClick: () => void;
  title?: string;
}): JSX.Element {
  return (
    <button type="button" className="jp-mlops-Link" title={props.title} onClick={props.onClick}>
      {props.children}
    </button>
  );
}

/** Facts as names and values; those without a value are left out. */
export function Facts(props: { facts: [string, React.ReactNode][] }): JSX.Element {
  const facts = props.facts.filter(([, value]) => value !== null && value !== '');
  return (
    <dl className="jp-mlops-Facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A titled table; nothing at all when it has no rows. */
export function Table(props: {
  caption: string;
  columns: string[];
  rows: React.ReactNode[][];
  numeric?: boolean;
}): JSX.Element | null {
  if (props.rows.length === 0) {
    return null;
  }
  return (
    <table className="jp-mlops-Table" data-numeric={props.numeric || undefined}>
      <caption>{props.caption}</caption>
      <thead>
        <tr>
          {props.columns.map(column => (
            <th key={column} scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map(([head, ...cells], at) => (
          <tr key={at}>
            <th scope="row">{head}</th>
            {cells.map((cell, column) => (
              <td key={column}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
