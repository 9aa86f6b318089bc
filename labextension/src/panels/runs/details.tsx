import { caretLeftIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { formatMetric, formatSeconds, shortId } from '../../components/format';
import { ErrorMessage, Loading } from '../../components/message';
import { Ago, Facts, State, Table } from '../../components/parts';
import type { IDetail } from '../../details';
import type { IRunDetails } from '../../records';

/** One run in full, with the way back to the list. */
export function RunDetails(props: {
  id: string;
  detail: IDetail<IRunDetails>;
  onClose: () => void;
}): JSX.Element {
  const { id, detail, onClose } = props;
  const back = React.useRef<HTMLButtonElement>(null);
  // The row that had the focus is gone; the way back is the nearest thing to it.
  React.useEffect(() => {
    back.current?.focus();
  }, [id]);
  return (
    <div className="jp-mlops-Details">
      <button type="button" ref={back} className="jp-mlops-Link jp-mlops-Back" onClick={onClose}>
        <caretLeftIcon.react tag="span" />
        All runs
      </button>
      {detail.error ? <ErrorMessage error={detail.error} /> : null}
      {!detail.error && !detail.value ? <Loading /> : null}
      {detail.value ? <RunPage run={detail.value} /> : null}
    </div>
  );
}

function RunPage({ run }: { run: IRunDetails }): JSX.Element {
  const dirty = run.git_dirty === true || run.git_dirty === 'true';
  return (
    <>
      <div className="jp-mlops-Row-line">
        <h4>{run.name || shortId(run.run_id)}</h4>
        <State state={run.status} />
      </div>
      <Facts
        facts={[
          ['Run', <code key="run">{run.run_id}</code>],
          ['Experiment', run.experiment],
          ['Started', run.started ? <Ago time={run.started} /> : null],
          ['Took', formatSeconds(run.seconds)],
          ['Notebook', run.notebook],
          [
            'Git commit',
            run.git_commit ? (
              <>
                <code title={run.git_commit}>{shortId(run.git_commit)}</code>
                {dirty ? ', with uncommitted changes' : ''}
              </>
            ) : null
          ],
          ['Snapshot', run.snapshot ? <code>{run.snapshot}</code> : null],
          ['Environment', run.environment ? <code title={run.environment}>{shortId(run.environment)}</code> : null],
          ['Models', run.models.map(model => model.name).join(', ')]
        ]}
      />
      <Table
        caption="Metrics"
        columns={['Metric', 'Value']}
        rows={Object.entries(run.metrics).map(([name, value]) => [name, formatMetric(value)])}
        numeric
      />
      <Table
        caption="Parameters"
        columns={['Parameter', 'Value']}
        rows={Object.entries(run.params)}
      />
      <Table
        caption="Data"
        columns={['Name', 'Role', 'Digest']}
        rows={run.data.map(data => [
          data.name,
          data.role ?? '',
          <code key="digest" title={data.digest}>
            {shortId(data.digest)}
          </code>
        ])}
      />
      {run.source ? <Source source={run.source} /> : null}
    </>
  );
}

function Source({ source }: { source: string }): JSX.Element {
  return (
    <figure className="jp-mlops-Source">
      <figcaption>Cell source</figcaption>
      {/* A block that scrolls must be reachable by keyboard. */}
      <div className="jp-mlops-Source-code" role="group" aria-label="Cell source" tabIndex={0}>
        <pre>{source}</pre>
      </div>
    </figure>
  );
}
