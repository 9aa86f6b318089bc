import { refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { CommandIDs, type IMLOps } from '../tokens';
import { count } from './format';
import { ErrorMessage } from './message';
import { Chip } from './parts';

/** The top of the sidebar: which workspace this is, and what waits in it. */
export function Header(props: { mlops: IMLOps; commands: CommandRegistry }): JSX.Element {
  const { mlops, commands } = props;
  const { status, error } = mlops;
  return (
    <>
      <div className="jp-mlops-Header-line">
        <div className="jp-mlops-Header-text">
          <h2 title={status ? `${status.workspace}\n${status.why}` : undefined}>
            {status?.name ?? (error ? 'No workspace' : 'Looking for the workspace…')}
          </h2>
          {status ? (
            <p className="jp-mlops-Header-path" title={status.workspace}>
              <bdi>{status.workspace}</bdi>
            </p>
          ) : null}
        </div>
        <button
          type="button"
          className="jp-mlops-IconButton"
          aria-label="Refresh"
          title="Refresh"
          onClick={() => void commands.execute(CommandIDs.refresh)}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      {status ? <Waiting {...status} /> : null}
      {error ? <ErrorMessage error={error} /> : null}
    </>
  );
}

/** What asks for someone's attention; nothing when all is quiet. */
function Waiting(props: {
  open_requests: number;
  alerts: number;
  backlog: number;
}): JSX.Element | null {
  const words = [
    props.open_requests ? count(props.open_requests, 'open request') : '',
    props.alerts ? count(props.alerts, 'alert') : '',
    props.backlog ? `${props.backlog} waiting to be sent` : ''
  ].filter(Boolean);
  return words.length ? (
    <div className="jp-mlops-Chips">
      {words.map(word => (
        <Chip key={word}>{word}</Chip>
      ))}
    </div>
  ) : null;
}
