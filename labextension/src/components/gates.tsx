import * as React from 'react';

import type { IGate } from '../records';
import { State } from './parts';

/** What each gate said: passed or failed, and why. */
export function Gates(props: { gates: readonly IGate[] }): JSX.Element | null {
  if (props.gates.length === 0) {
    return null;
  }
  return (
    <ul className="jp-mlops-Gates" aria-label="Gates">
      {props.gates.map((gate, at) => (
        <li key={at}>
          <span className="jp-mlops-Gates-name">{gate.gate}</span>
          <State state={gate.passed ? 'passed' : 'failed'} />
          {gate.reason ? <p>{gate.reason}</p> : null}
        </li>
      ))}
    </ul>
  );
}
