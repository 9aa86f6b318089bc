import type { CommandRegistry } from '@lumino/commands';
import * as React from 'react';

import { count, formatSeconds } from '../../components/format';
import { ErrorMessage, Notice, Rows } from '../../components/message';
import { Ago, Button, State } from '../../components/parts';
import { PagedList } from '../../components/paged';
import { SectionBox } from '../../components/section';
import { useUniqueId } from '../../components/unique';
import type { IPipelineRun } from '../../records';
import { CommandIDs } from '../../tokens';
import type { IPipeline, IProgress, PipelinesModel } from './model';

interface IProps {
  model: PipelinesModel;
  commands: CommandRegistry;
}

/** How many pipelines are drawn at first. */
const FIRST = 20;

/** How many past runs of a pipeline are shown at first. */
const RECENT = 5;

/** The Pipelines section: each file with its past runs and the way to run it again. */
export function PipelinesBody({ model, commands }: IProps): JSX.Element {
  const pipelines = model.rows && model.pipelines;
  return (
    <SectionBox title="Pipelines" count={pipelines?.length}>
      {model.mlops.status ? (
        <Rows rows={pipelines} error={model.error} empty={<NoPipelines />}>
          {rows => (
            <PagedList rows={rows} label="Pipelines" first={FIRST}>
              {pipeline => <PipelineItem key={pipeline.file} {...{ pipeline, model, commands }} />}
            </PagedList>
          )}
        </Rows>
      ) : null}
    </SectionBox>
  );
}

function relativeTo(folder: string | undefined, file: string): string {
  return folder && file.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : file;
}

function NoPipelines(): JSX.Element {
  return (
    <>
      No pipeline has run yet. In a notebook: <code>%mlops pipeline run pipeline.yaml</code>
    </>
  );
}

function PipelineItem(props: IProps & { pipeline: IPipeline }): JSX.Element {
  const { pipeline, model, commands } = props;
  const { file, name, runs } = pipeline;
  const [all, setAll] = React.useState(false);
  const nameId = useUniqueId();
  const progress = model.progress(file);
  const run = () => void commands.execute(CommandIDs.runPipeline, { file });
  return (
    <li className="jp-mlops-Pipeline">
      <div className="jp-mlops-RowWithAction">
        <div className="jp-mlops-Row" id={nameId}>
          <span className="jp-mlops-Name" title={name}>
            {name}
          </span>
          <span className="jp-mlops-Minor jp-mlops-Path" title={file}>
            {relativeTo(model.mlops.status?.workspace, file)}
          </span>
        </div>
        <Button onClick={run} describedBy={nameId} disabled={progress?.running}>
          Run
        </Button>
      </div>
      {progress ? <Progress progress={progress} /> : null}
      <ul className="jp-mlops-Sublist" aria-label={`Past runs of ${name}`}>
        {(all ? runs : runs.slice(0, RECENT)).map(past => (
          <PastRun key={past.run} run={past} />
        ))}
      </ul>
      {runs.length > RECENT && !all ? (
        <div className="jp-mlops-More">
          <Button onClick={() => setAll(true)}>Show {runs.length - RECENT} more</Button>
        </div>
      ) : null}
    </li>
  );
}

function Progress({ progress }: { progress: IProgress }): JSX.Element {
  if (progress.error) {
    return <ErrorMessage error={progress.error} />;
  }
  if (progress.running) {
    return (
      <Notice>
        <div className="jp-mlops-Bar" />
        <p>{progress.text ?? 'Running…'}</p>
      </Notice>
    );
  }
  const failed = progress.result?.steps.filter(step => step.reason && isBad(step.state)) ?? [];
  return (
    <Notice bad={progress.result?.state !== 'succeeded'}>
      <State state={progress.result?.state ?? 'done'} />
      {failed.map(step => (
        <p key={step.name}>
          {step.name}: {step.reason}
        </p>
      ))}
    </Notice>
  );
}

function isBad(state: string): boolean {
  return state === 'failed' || state === 'timed_out';
}

function PastRun({ run }: { run: IPipelineRun }): JSX.Element {
  const steps = [count(run.steps, 'step')];
  if (run.cached) {
    steps.push(`${run.cached} cached`);
  }
  if (run.failed) {
    steps.push(`${run.failed} failed`);
  }
  return (
    <li title={run.run}>
      <span className="jp-mlops-Row-line">
        <State state={run.state} />
        <Ago time={run.started} />
      </span>
      <span className="jp-mlops-Row-line jp-mlops-Minor">
        <span>{steps.join(', ')}</span>
        <span>{formatSeconds(run.seconds)}</span>
      </span>
    </li>
  );
}
