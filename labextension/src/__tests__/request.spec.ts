import { ServerConnection } from '@jupyterlab/services';

import { Server } from '../request';
import { MlopsError } from '../tokens';

/** A server whose every answer is the one given; `asked` holds what it was sent. */
function serverAnswering(status: number, body: string) {
  const asked: { url: string; method: string; body: string }[] = [];
  const fetch = async (input: RequestInfo | URL): Promise<Response> => {
    const request = input as Request;
    asked.push({ url: request.url, method: request.method, body: await request.text() });
    return new Response(body, { status });
  };
  const baseUrl = 'http://lab.invalid/user/ann/';
  return { server: new Server(ServerConnection.makeSettings({ baseUrl, fetch })), asked };
}

async function refusal(promise: Promise<unknown>): Promise<MlopsError> {
  const error = await promise.then(
    () => null,
    reason => reason
  );
  expect(error).toBeInstanceOf(MlopsError);
  return error;
}

describe('Server', () => {
  it('posts the arguments to the verb, spaces becoming slashes, under the base URL', async () => {
    const { server, asked } = serverAnswering(200, '{"ok": true, "result": {"rows": []}}');
    const answer = await server.call('pipeline history', { notebook: 'a.ipynb' });
    expect(answer).toEqual({ ok: true, result: { rows: [] } });
    expect(asked[0].url).toMatch(/\/user\/ann\/mlops\/api\/pipeline\/history(\?|$)/);
    expect(asked[0]).toMatchObject({ method: 'POST', body: '{"notebook":"a.ipynb"}' });
  });

  it('does not let a job id reach another path', async () => {
    const { server, asked } = serverAnswering(200, '{"state": "running"}');
    await server.job('../status');
    expect(asked[0].url).toContain('/jobs/..%2Fstatus');
  });

  it("passes the server's own message and hint on", async () => {
    const body = '{"error": {"message": "no model churn/9", "hint": "see %mlops models"}}';
    const error = await refusal(serverAnswering(404, body).server.call('model', {}));
    expect([error.message, error.hint, error.status]).toEqual([
      'no model churn/9',
      'see %mlops models',
      404
    ]);
  });

  it('says that the extension is missing when something else answers 404', async () => {
    const error = await refusal(serverAnswering(404, '<html>').server.call('status', {}));
    expect(error.message).toContain('extension is not running');
    expect(error.hint).toContain('enable mlops_jupyter');
  });

  it.each([401, 403])('asks to log in again on a bare %d', async status => {
    const error = await refusal(serverAnswering(status, '').server.call('status', {}));
    expect(error.hint).toContain('Log in again');
  });

  it('takes an answer that is no JSON for an error', async () => {
    const error = await refusal(serverAnswering(200, '<login page>').server.call('status', {}));
    expect(error.message).toContain('status 200');
  });

  it('says that the server is away when nothing answers', async () => {
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://lab.invalid/',
      fetch: () => Promise.reject(new TypeError('failed'))
    });
    const error = await refusal(new Server(settings).call('status', {}));
    expect(error.message).toContain('does not answer');
  });
});
