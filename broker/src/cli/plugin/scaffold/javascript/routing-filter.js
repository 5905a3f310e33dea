// Refuses one app.

import { appIs } from 'jackfield:plugin/request@0.1.0';

let app;

export const lifecycle = {
  // Runs once, before the first request. What it throws goes to the operator.
  configure(json) {
    ({ app } = JSON.parse(json));
    if (typeof app !== 'string') throw 'there is no `app`; name the one to refuse';
  },
};

export const routingFilter = {
  // Runs for the first frame of each request that fits the plugin's `match`. The decision depends on the caller only, so
  // the broker need not ask again for the same route of the same connection.
  onRequest() {
    if (appIs(app)) return { verdict: { tag: 'refuse', val: { code: 0x202, text: 'not tonight' } }, remember: true };
    return { verdict: { tag: 'pass' }, remember: true };
  },
};
