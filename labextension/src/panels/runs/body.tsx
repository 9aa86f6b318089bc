import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { formatMetric, formatSeconds, shortId } from '../../components/format';
import { Rows } from '../../components/message';
import { PagedList } from '../../components/paged';
import { Ago, State } from '../../components/parts';
import { SectionBox } from '../../components/section';
import type { IRun } from '../../records';
import { CommandIDs } from '../../tokens';
import { RunDetails } from './details';
import type { RunsModel } from './model';

/** How many metrics a row has room for. */
const METRICS = 2;

/** How many runs are drawn at first. */
const FIRST = 10;

/** The Runs section: the list, or the run looked at. */
export function RunsBody(props: { model: RunsModel; commands: CommandRegistry }): JSX.Element {
  const { model, commands } = props;
  const select = (run: string | null) =>
    void commands.execute(CommandIDs.selectRun, { run_id: run });
  const list = React.useRef<HTMLDivElement>(null);
  useReturnOfFocus(list, model.selected);
  return (
    <SectionBox title="Runs" count={model.rows?.length} reveal={model.selected}>
      {model.selected ? (
        <RunDetails id={model.selected} detail={model.details} onClose={() => select(null)} />
      ) : null}
      {/* Hidden rather than gone: on the way back the list is as it was left. */}
      <div ref={list} hidden={model.selected !== null}>
        {model.mlops.status ? (
          <Rows rows={model.rows} error={model.error} empty={<NoRuns />}>
            {rows => (
              <PagedList rows={rows} label="Runs" first={FIRST}>
                {run => <RunRow key={run.run_id} run={run} onSelect={() => select(run.run_id)} />}
              </PagedList>
            )}
          </Rows>
        ) : null}
      </div>
    </SectionBox>
  );
}

/** Put the focus back on the row of the run that was looked at. */
function useReturnOfFocus(list: React.RefObject<HTMLElement>, selected: string | null): void {
  const last = React.useRef(selected);
  React.useEffect(() => {
    if (last.current && !selected) {
      const rows = [...(list.current?.querySelectorAll<HTMLElement>('[data-run]') ?? [])];
      rows.find(row => row.dataset.run === last.current)?.focus();
    }
    last.current = selected;
  }, [selected]);
}

function NoRuns(): JSX.Element {
  return (
    <>
      No runs yet. In a notebook: <code>%load_ext mlops_jupyter</code>, then{' '}
      <code>%%mlops run</code> atop a cell.
    </>
  );
}

function RunRow(props: { run: IRun; onSelect: () => void }): JSX.Element {
  const { run, onSelect } = props;
  const metrics = Object.entries(run.metrics).slice(0, METRICS);
  return (
    <li>
      <button type="button" className="jp-mlops-Row" data-run={run.run_id} onClick={onSelect}>
        <span className="jp-mlops-Row-line">
          <span className="jp-mlops-Name" title={run.name ?? run.run_id}>
            {run.name || shortId(run.run_id)}
          </span>
          <State state={run.status} />
        </span>
        <span className="jp-mlops-Row-line jp-mlops-Minor">
          <span className="jp-mlops-Metrics">
            {metrics.map(([name, value]) => (
              <span key={name}>
                {name} <b>{formatMetric(value)}</b>
              </span>
            ))}
            {metrics.length === 0 ? formatSeconds(run.seconds) : null}
          </span>
          <Ago time={run.started} />
        </span>
      </button>
    </li>
  );
}
