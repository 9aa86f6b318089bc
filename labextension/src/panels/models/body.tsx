import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { formatMetric, shortId } from '../../components/format';
import { Expandable } from '../../components/expandable';
import { Gates } from '../../components/gates';
import { ErrorMessage, Loading, Notice, Rows } from '../../components/message';
import { PagedList } from '../../components/paged';
import { Ago, Button, Chip, Facts, LinkButton, State, Table } from '../../components/parts';
import { SectionBox } from '../../components/section';
import type { IPromotion, IVersion, IVersionDetails } from '../../records';
import { CommandIDs } from '../../tokens';
import { referTo, type IPromotionOutcome, type ModelsModel } from './model';

/** How many versions are drawn at first. */
const FIRST = 50;

interface IProps {
  model: ModelsModel;
  commands: CommandRegistry;
}

/** The Models section: a row per version, with its aliases and the way to promote it. */
export function ModelsBody({ model, commands }: IProps): JSX.Element {
  return (
    <SectionBox title="Models" count={model.rows?.length}>
      {model.mlops.status ? (
        <Rows rows={model.rows} error={model.error} empty={<NoModels />}>
          {rows => (
            <PagedList rows={rows} label="Model versions" first={FIRST}>
              {row => <VersionRow key={referTo(row)} {...{ row, model, commands }} />}
            </PagedList>
          )}
        </Rows>
      ) : null}
    </SectionBox>
  );
}

function NoModels(): JSX.Element {
  return (
    <>
      No models yet. In a run: <code>%mlops log model clf --register churn</code>
    </>
  );
}

function VersionRow(props: IProps & { row: IVersion }): JSX.Element {
  const { row, model, commands } = props;
  const detail = model.detail(row);
  const outcome = model.outcome(row);
  const promote = () => void commands.execute(CommandIDs.promote, { model: referTo(row) });
  return (
    <Expandable
      label={row.model}
      suffix={`v${row.version}`}
      title={referTo(row)}
      minor={<VersionLine row={row} />}
      open={detail !== undefined || outcome !== undefined}
      onToggle={() => model.toggle(row)}
      action={nameId => (
        <Button onClick={promote} describedBy={nameId}>
          Promote
        </Button>
      )}
    >
      {outcome ? <Outcome outcome={outcome} /> : null}
      {detail?.error ? <ErrorMessage error={detail.error} /> : null}
      {detail && !detail.value && !detail.error ? <Loading /> : null}
      {detail?.value ? <VersionPage version={detail.value} commands={commands} /> : null}
    </Expandable>
  );
}

function VersionLine({ row }: { row: IVersion }): JSX.Element {
  const waits = row.status === 'pending' || row.status === 'refused';
  return (
    <>
      <span className="jp-mlops-Chips">
        {row.aliases.map(alias => (
          <Chip key={alias} strong>
            {alias}
          </Chip>
        ))}
        {waits ? <State state={row.status as string} /> : null}
        {row.aliases.length === 0 && !waits ? 'no alias' : null}
      </span>
      <Ago time={row.created} />
    </>
  );
}

function Outcome({ outcome }: { outcome: IPromotionOutcome }): JSX.Element {
  if (!outcome.promotion) {
    return <ErrorMessage error={outcome.error ?? { message: 'The promotion gave no answer.' }} />;
  }
  const { promotion } = outcome;
  return (
    <Notice bad={promotion.status === 'refused'}>
      <p>
        <State state={promotion.status} /> {describePromotion(promotion)}
      </p>
      <Reasons promotion={promotion} />
      <Gates gates={promotion.gates} />
    </Notice>
  );
}

function describePromotion({ status, alias, previous, request }: IPromotion): string {
  if (status === 'promoted') {
    return previous ? `as ${alias}, in place of version ${previous}.` : `as ${alias}.`;
  }
  return status === 'pending'
    ? `as ${alias}: request ${request ?? ''} waits for approval.`
    : `as ${alias}.`;
}

/** The reasons that no gate gives already. */
function Reasons({ promotion }: { promotion: IPromotion }): JSX.Element | null {
  const told = new Set(promotion.gates.flatMap(({ gate, reason }) => [reason, `${gate}: ${reason}`]));
  const reasons = promotion.reasons.filter(reason => !told.has(reason));
  return reasons.length ? (
    <ul className="jp-mlops-Reasons" aria-label="Reasons">
      {reasons.map((reason, at) => (
        <li key={at}>{reason}</li>
      ))}
    </ul>
  ) : null;
}

function VersionPage(props: { version: IVersionDetails; commands: CommandRegistry }): JSX.Element {
  const { version, commands } = props;
  const run = version.run_id;
  const look = () => void commands.execute(CommandIDs.selectRun, { run_id: run });
  return (
    <>
      <Facts
        facts={[
          ['Registered', version.created ? <Ago time={version.created} /> : null],
          ['Run', run ? <LinkButton onClick={look}>{shortId(run)}</LinkButton> : null]
        ]}
      />
      <Table
        caption="Metrics"
        columns={['Metric', 'Value']}
        rows={Object.entries(version.metrics).map(([name, value]) => [name, formatMetric(value)])}
        numeric
      />
      <Table
        caption="Parameters"
        columns={['Parameter', 'Value']}
        rows={Object.entries(version.params)}
      />
      <Gates gates={version.gates} />
      <Table
        caption="History"
        columns={['When', 'What', 'Who']}
        rows={version.history.map(entry => [
          <Ago key="time" time={entry.time} />,
          [entry.kind, entry.alias, entry.message].filter(Boolean).join(' · '),
          entry.actor ?? ''
        ])}
      />
    </>
  );
}
