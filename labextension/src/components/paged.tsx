import * as React from 'react';

import { Button } from './parts';

/** How many rows each press of the button adds. */
export const PAGE = 50;

/**
 * A list that draws its rows a page at a time: thousands do not slow the browser down, and the
 * sections below stay in reach.
 */
export function PagedList<T>(props: {
  rows: readonly T[];
  label: string;
  /** How many rows are drawn at first. */
  first: number;
  children: (row: T) => React.ReactElement;
}): JSX.Element {
  const { rows, label, first, children } = props;
  const [shown, setShown] = React.useState(first);
  const left = rows.length - shown;
  return (
    <>
      <ul className="jp-mlops-List" aria-label={label}>
        {rows.slice(0, shown).map(children)}
      </ul>
      {left > 0 ? (
        <div className="jp-mlops-More">
          <span>
            {shown} of {rows.length}
          </span>
          <Button onClick={() => setShown(shown + PAGE)}>Show {Math.min(left, PAGE)} more</Button>
        </div>
      ) : null}
    </>
  );
}
