/** jsdom with what Node has of the browser and jsdom has not. */
const { TestEnvironment } = require('jest-environment-jsdom');

module.exports = class extends TestEnvironment {
  constructor(...args) {
    super(...args);
    const { fetch, Headers, Request, Response, TextDecoder, TextEncoder } = globalThis;
    Object.assign(this.global, { fetch, Headers, Request, Response, TextDecoder, TextEncoder });
  }
};
