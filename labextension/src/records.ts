/** What the verbs answer with, as the server and the kernel send it. */

/** A number as it travels: JSON has no NaN, so such a metric comes as text or null. */
export type Metric = number | string | null;

/** The answer of `status`: the workspace and what waits in it. */
export interface IStatus {
  workspace: string;
  name: string;
  why: string;
  tracking: string;
  experiment: string;
  active_run: object | null;
  latest_snapshot: { snapshot: string; name: string | null; created: string } | null;
  backlog: number;
  open_requests: number;
  alerts: number;
}

/** A row of `runs`. */
export interface IRun {
  run_id: string;
  name: string | null;
  status: string;
  experiment: string;
  started: string | null;
  seconds: number | null;
  params: { [name: string]: string };
  metrics: { [name: string]: Metric };
  notebook: string | null;
}

/** One run in full, as `compare` tells it. */
export interface IRunDetails extends IRun {
  tags: { [name: string]: string };
  cell: string | null;
  source: string | null;
  git_commit: string | null;
  git_dirty: boolean | string | null;
  environment: string | null;
  snapshot: string | null;
  data: { name: string; role: string | null; digest: string }[];
  models: { name: string; model_id: string }[];
}

/** A row of `snapshots`. */
export interface ISnapshot {
  snapshot: string;
  name: string | null;
  message: string | null;
  created: string;
  notebook: string | null;
  variables: number;
  missing: number;
  bytes: number;
  run_id: string | null;
}

/** A variable that a snapshot holds. */
export interface IVariable {
  name: string;
  type: string;
  summary: string;
  bytes: number | null;
  component: number | string | null;
}

/** A name that a snapshot could not keep, or a restore could not bring back. */
export interface IMissing {
  name: string;
  type?: string;
  reason: string;
}

/** One snapshot in full, as `show` tells it. */
export interface ISnapshotDetails {
  snapshot: string;
  name: string | null;
  message: string | null;
  created: string;
  notebook: string | null;
  run_id: string | null;
  bytes: number;
  variables: IVariable[];
  missing: IMissing[];
  cells: { order: number; source: string; outcome: string }[];
}

/** The answer of `snapshot`. */
export interface ICaptured {
  snapshot: string;
  name: string | null;
  variables: number;
  missing: IMissing[];
  bytes: number;
}

/** The answer of `restore`. */
export interface IRestored {
  snapshot: string;
  restored: string[];
  missing: IMissing[];
}

/** A row of `models`: one version. */
export interface IVersion {
  model: string;
  version: number;
  aliases: string[];
  run_id: string | null;
  created: string | null;
  status?: string;
}

/** What a gate of the promotion policy said. */
export interface IGate {
  alias?: string;
  gate: string;
  passed: boolean;
  reason: string;
}

/** An entry of a version's ledger. */
export interface ILedgerEntry {
  time: string;
  kind: string;
  actor: string | null;
  alias: string | null;
  message: string | null;
}

/** One version in full, as `model` tells it. */
export interface IVersionDetails extends IVersion {
  metrics: { [name: string]: Metric };
  params: { [name: string]: string };
  history: ILedgerEntry[];
  gates: IGate[];
}

/** The answer of `promote`. */
export interface IPromotion {
  status: 'promoted' | 'pending' | 'refused';
  model: string;
  version: number;
  alias: string;
  previous: number | null;
  gates: IGate[];
  reasons: string[];
  request: string | null;
}

/** A row of `pipeline history`. */
export interface IPipelineRun {
  run: string;
  pipeline: string;
  file: string;
  state: string;
  started: string | null;
  seconds: number | null;
  steps: number;
  cached: number;
  failed: number;
}

/** A step in the answer of `pipeline run`. */
export interface IStepResult {
  name: string;
  state: string;
  reason: string | null;
  error: unknown;
}

/** The answer of `pipeline run`. */
export interface IPipelineResult {
  run: string;
  state: string;
  steps: IStepResult[];
}

/** What each verb that the sidebar uses answers with. */
export interface IResults {
  status: IStatus;
  runs: { rows: IRun[] };
  compare: { runs: IRunDetails[] };
  snapshot: ICaptured;
  snapshots: { rows: ISnapshot[] };
  show: ISnapshotDetails;
  restore: IRestored;
  models: { rows: IVersion[] };
  model: IVersionDetails;
  promote: IPromotion;
  'pipeline history': { rows: IPipelineRun[] };
  'pipeline run': IPipelineResult;
}
