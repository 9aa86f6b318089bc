/** The only caller of the server. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { MlopsError, type IAnswer } from './tokens';

/** Where a job stands, as the server tells it. */
export interface IJob {
  job: string;
  verb: string;
  workspace: string;
  state: 'running' | 'done' | 'failed';
  ok?: boolean | null;
  result?: unknown;
  error?: { message: string; hint?: string } | null;
}

/** The server's door: verbs that need no kernel, and the jobs that long ones become. */
export interface IServer {
  /** Carry out a verb; a long one is answered by the job that does it. */
  call(verb: string, args: object): Promise<IAnswer | { job: string }>;
  /** Ask how far a job is. */
  job(id: string): Promise<IJob>;
}

/** The server extension's REST interface. */
export class Server implements IServer {
  constructor(private readonly _settings = ServerConnection.makeSettings()) {}

  async call(verb: string, args: object): Promise<IAnswer | { job: string }> {
    const body = JSON.stringify(args);
    const answer = await this._send(verb.split(' '), { method: 'POST', body });
    return answer as IAnswer | { job: string };
  }

  async job(id: string): Promise<IJob> {
    return (await this._send(['jobs', id], { method: 'GET' })) as IJob;
  }

  private async _send(path: string[], init: RequestInit): Promise<unknown> {
    const parts = path.map(encodeURIComponent);
    const url = URLExt.join(this._settings.baseUrl, 'mlops/api', ...parts);
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this._settings);
    } catch {
      throw new MlopsError(
        'The Jupyter server does not answer.',
        'Check that it is running, then refresh.'
      );
    }
    const body = await readJson(response);
    if (!response.ok || body === undefined) {
      throw toError(response.status, body);
    }
    return body;
  }
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return JSON.parse(await response.text());
  } catch {
    return undefined;
  }
}

/** Make an error of a refusal: the server's own words, or ours where something else answered. */
function toError(status: number, body: unknown): MlopsError {
  const error = (body as { error?: unknown } | null | undefined)?.error as
    | { message?: string; hint?: string }
    | undefined;
  if (typeof error?.message === 'string') {
    return new MlopsError(error.message, error.hint ?? '', status);
  }
  if (status === 404) {
    return new MlopsError(
      'The MLOps server extension is not running.',
      'Install mlops-jupyter beside JupyterLab, run "jupyter server extension enable mlops_jupyter" and restart.',
      status
    );
  }
  if (status === 401 || status === 403) {
    return new MlopsError('The Jupyter server refused you.', 'Log in again, then refresh.', status);
  }
  return new MlopsError(
    `The Jupyter server answered with status ${status} and no reason.`,
    'Look into its log.',
    status
  );
}
