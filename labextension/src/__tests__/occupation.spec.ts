import type { Kernel } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { Occupation } from '../occupation';

function setUp() {
  const kernel = {
    status: 'idle',
    anyMessage: new Signal<object, object>({}),
    statusChanged: new Signal<object, string>({})
  };
  const occupation = new Occupation(kernel as unknown as Kernel.IKernelConnection);
  const send = (type: string, id: string, content: object = {}) =>
    kernel.anyMessage.emit({
      direction: 'send',
      msg: { header: { msg_type: type, msg_id: id }, content }
    });
  const receive = (type: string, parent: string, content: object, request = 'execute_request') =>
    kernel.anyMessage.emit({
      direction: 'recv',
      msg: {
        header: { msg_type: type },
        parent_header: { msg_type: request, msg_id: parent },
        content
      }
    });
  return { kernel, occupation, send, receive };
}

describe('Occupation', () => {
  it('lasts from the request to the end of the cell, whatever else the kernel answers', () => {
    const { occupation, send, receive } = setUp();
    send('execute_request', 'a');
    expect(occupation.busy).toBe(true);
    receive('status', 'x', { execution_state: 'idle' }, 'debug_request');
    expect(occupation.busy).toBe(true);
    receive('execute_reply', 'a', { status: 'ok' });
    expect(occupation.busy).toBe(false);
  });

  it("knows of other clients' cells", () => {
    const { occupation, receive } = setUp();
    receive('status', 'b', { execution_state: 'busy' });
    expect(occupation.busy).toBe(true);
    receive('status', 'b', { execution_state: 'idle' });
    expect(occupation.busy).toBe(false);
  });

  it('believes a kernel that says it is busy', () => {
    const { kernel, occupation } = setUp();
    kernel.status = 'busy';
    expect(occupation.busy).toBe(true);
  });

  it('does not count what is asked silently', () => {
    const { kernel, occupation, send, receive } = setUp();
    send('execute_request', 'a', { silent: true });
    kernel.status = 'busy';
    receive('status', 'a', { execution_state: 'busy' });
    expect(occupation.busy).toBe(false);
    receive('execute_reply', 'a', { status: 'ok' });
    expect(occupation.busy).toBe(true);
  });

  it('forgets what a kernel that was restarted will not answer', () => {
    const { kernel, occupation, send } = setUp();
    send('execute_request', 'a');
    kernel.statusChanged.emit('restarting');
    expect(occupation.busy).toBe(false);
  });

  it('ignores requests that run no cell', () => {
    const { occupation, send } = setUp();
    send('kernel_info_request', 'a');
    expect(occupation.busy).toBe(false);
  });
});
