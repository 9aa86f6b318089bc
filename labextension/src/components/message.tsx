import * as React from 'react';

import type { MlopsError } from '../tokens';

/** An error in two lines: what is wrong, and what to do about it. */
export function ErrorMessage(props: { error: { message: string; hint?: string } }): JSX.Element {
  const { message, hint } = props.error;
  return (
    <div className="jp-mlops-Error" role="alert">
      <p className="jp-mlops-Error-message">{message}</p>
      {hint ? <p className="jp-mlops-Error-hint">{hint}</p> : null}
    </div>
  );
}

/** What an action came to; it scrolls into view, since the action may be far from it. */
export function Notice(props: { bad?: boolean; children: React.ReactNode }): JSX.Element {
  const node = React.useRef<HTMLDivElement>(null);
  React.useEffect(() => {
    // Newer browsers return a promise here, which React would take for the effect's cleanup.
    void node.current?.scrollIntoView?.({ block: 'nearest' });
  }, []);
  return (
    <div ref={node} className="jp-mlops-Notice" role="status" data-bad={props.bad || undefined}>
      {props.children}
    </div>
  );
}

/** What stands where rows would: loading, or how to make the first one. */
export function Placeholder(props: { children: React.ReactNode }): JSX.Element {
  return <div className="jp-mlops-Placeholder">{props.children}</div>;
}

/** Shown until the first answer. */
export function Loading(): JSX.Element {
  return (
    <div className="jp-mlops-Placeholder" role="status">
      Loading…
    </div>
  );
}

/** Rows or what stands in their place, whichever the state of a list calls for. */
export function Rows<T>(props: {
  rows: readonly T[] | null;
  error: MlopsError | null;
  empty: React.ReactNode;
  children: (rows: readonly T[]) => React.ReactNode;
}): JSX.Element {
  const { rows, error, empty, children } = props;
  return (
    <>
      {error ? <ErrorMessage error={error} /> : null}
      {rows === null && !error ? <Loading /> : null}
      {rows?.length === 0 && !error ? <Placeholder>{empty}</Placeholder> : null}
      {rows?.length ? children(rows) : null}
    </>
  );
}
