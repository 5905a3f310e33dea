// Asks apps for their metrics by one route.

let route;

const bytes = (text) => new TextEncoder().encode(text);

export const lifecycle = {
  // Runs once, before the first scrape. What it throws goes to the operator.
  configure(json) {
    ({ route } = JSON.parse(json));
    if (typeof route !== 'string' || !route.includes('.')) throw '`route` must be service.method';
  },
};

export const metricsCollector = {
  // What to say to an app that connects.
  greet(_app) {
    return undefined;
  },

  // What to ask an app; nothing when it does not publish the service.
  ask(app, _scrape) {
    const service = route.slice(0, route.lastIndexOf('.'));
    if (!app.services.includes(service)) return undefined;
    const header = { tag: 'route', val: route };
    return { interaction: 'request-response', header, data: bytes(''), context: bytes(''), review: false };
  },

  // Its reply as Prometheus text.
  read(_app, _context, reply) {
    if (reply.data.length === 0) throw 'the page is empty';
    return { format: 'text', text: reply.data };
  },

  // What to do with a family, when the question asked for a review.
  onFamily(_app, _family) {
    return { tag: 'keep' };
  },

  // What an app sends by itself.
  onPush(_app, _pushed) {
    return undefined;
  },
};
