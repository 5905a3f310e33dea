// Refuses one app.

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
  onRequest(_service, _handler, _traits, request) {
    const refuse = request.appIs(app);
    // The request is only lent: give it back.
    request[Symbol.dispose ?? Symbol.for('dispose')]();
    if (refuse) return { verdict: { tag: 'refuse', val: { code: 0x202, text: 'not tonight' } }, remember: true };
    return { verdict: { tag: 'pass' }, remember: true };
  },
};
