import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { count, formatBytes, shortId } from '../../components/format';
import { ErrorMessage, Loading, Notice, Rows } from '../../components/message';
import { PagedList } from '../../components/paged';
import { Ago, Button, Facts, LinkButton, Table } from '../../components/parts';
import { Expandable } from '../../components/expandable';
import { SectionBox } from '../../components/section';
import { useUniqueId } from '../../components/unique';
import type { IMissing, ISnapshot, ISnapshotDetails } from '../../records';
import { CommandIDs, type KernelState } from '../../tokens';
import type { INotice, SnapshotsModel } from './model';

/** How many snapshots are drawn at first. */
const FIRST = 10;

interface IProps {
  model: SnapshotsModel;
  commands: CommandRegistry;
}

/** The Snapshots section: take one, look into those there are, bring one back. */
export function SnapshotsBody({ model, commands }: IProps): JSX.Element {
  const reason = useUniqueId();
  const why = whyNot(model.kernel);
  const take = () => void commands.execute(CommandIDs.snapshot);
  const button = (
    <Button onClick={take} disabled={model.asking || !!why} describedBy={why ? reason : undefined}>
      Snapshot
    </Button>
  );
  return (
    <SectionBox title="Snapshots" count={model.rows?.length} actions={button}>
      {why ? (
        <p id={reason} className="jp-mlops-Note">
          {why}
        </p>
      ) : null}
      {model.asking ? <KernelWait state={model.kernel} /> : null}
      {model.notice ? <LastAct notice={model.notice} /> : null}
      {model.mlops.status ? (
        <Rows rows={model.rows} error={model.error} empty={<NoSnapshots />}>
          {rows => (
            <PagedList rows={rows} label="Snapshots" first={FIRST}>
              {row => <SnapshotRow key={row.snapshot} {...{ row, model, commands }} />}
            </PagedList>
          )}
        </Rows>
      ) : null}
    </SectionBox>
  );
}

function whyNot(kernel: KernelState): string | null {
  return kernel === 'none'
    ? 'To take or restore a snapshot, open a notebook and start its kernel.'
    : null;
}

function KernelWait({ state }: { state: KernelState }): JSX.Element {
  return (
    <p className="jp-mlops-Note" role="status">
      {state === 'busy' ? 'The kernel is busy; waiting for it…' : 'Asking the kernel…'}
    </p>
  );
}

function NoSnapshots(): JSX.Element {
  return (
    <>
      No snapshots yet. Press Snapshot, or in a notebook: <code>%mlops snapshot baseline</code>
    </>
  );
}

function LastAct({ notice }: { notice: INotice }): JSX.Element {
  if (notice.error) {
    return <ErrorMessage error={notice.error} />;
  }
  return (
    <Notice>
      <p>{notice.text}</p>
      <Missing missing={notice.missing} />
    </Notice>
  );
}

function Missing({ missing }: { missing: IMissing[] }): JSX.Element | null {
  return (
    <Table
      caption="Missing"
      columns={['Name', 'Reason']}
      rows={missing.map(({ name, reason }) => [name, reason])}
    />
  );
}

function SnapshotRow(props: IProps & { row: ISnapshot }): JSX.Element {
  const { row, model, commands } = props;
  const label = row.name || shortId(row.snapshot);
  const detail = model.detail(row.snapshot);
  const restore = () =>
    void commands.execute(CommandIDs.restore, { snapshot: row.snapshot, name: label });
  return (
    <Expandable
      label={label}
      title={row.snapshot}
      minor={
        <>
          <span>
            {count(row.variables, 'variable')}
            {row.missing ? `, ${row.missing} missing` : ''}
          </span>
          <Ago time={row.created} />
        </>
      }
      open={detail !== undefined}
      onToggle={() => model.details.toggle(row.snapshot)}
      action={nameId => (
        <Button onClick={restore} describedBy={nameId} disabled={model.asking || model.kernel === 'none'}>
          Restore
        </Button>
      )}
    >
      {detail?.error ? <ErrorMessage error={detail.error} /> : null}
      {detail && !detail.value && !detail.error ? <Loading /> : null}
      {detail?.value ? <SnapshotPage snapshot={detail.value} commands={commands} /> : null}
    </Expandable>
  );
}

function SnapshotPage(props: {
  snapshot: ISnapshotDetails;
  commands: CommandRegistry;
}): JSX.Element {
  const { snapshot, commands } = props;
  const run = snapshot.run_id;
  const look = () => void commands.execute(CommandIDs.selectRun, { run_id: run });
  return (
    <>
      <Facts
        facts={[
          ['Message', snapshot.message],
          ['Id', <code key="id">{snapshot.snapshot}</code>],
          ['Notebook', snapshot.notebook],
          ['Size', formatBytes(snapshot.bytes)],
          ['Run', run ? <LinkButton onClick={look}>{shortId(run)}</LinkButton> : null]
        ]}
      />
      <Missing missing={snapshot.missing} />
      <Table
        caption="Variables"
        columns={['Name', 'Value']}
        rows={snapshot.variables.map(({ name, type, summary }) => [
          name,
          <React.Fragment key="value">
            <code>{type}</code>
            <span className="jp-mlops-Summary" title={summary}>
              {summary}
            </span>
          </React.Fragment>
        ])}
      />
    </>
  );
}
