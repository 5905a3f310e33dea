// Sends a share of the calls to another version, or group, of the same service.
//
//   [plugin.settings]
//   percent = 30
//   version = "canary"      # or group = "canary"
//   by = "tag:user"         # optional: the same user always gets the same answer

let weight; // in parts of 10000
let to;
let by;

export const lifecycle = {
  // Runs once, before the first request. What it throws goes to the operator.
  configure(json) {
    const { percent, version, group, by: key } = JSON.parse(json);
    if (!(percent >= 0 && percent <= 100)) throw `percent is ${percent}; it must be from 0 to 100`;
    if (version === undefined && group === undefined) throw 'there is neither `version` nor `group`';
    weight = Math.round(percent * 100);
    to = { version, group, tags: [] };
    by = key && parseKey(key);
  },
};

export const routingFilter = {
  // Runs for the first frame of each request that fits the plugin's `match`.
  onRequest(_service, _handler, _traits, request) {
    const decision = decide(request);
    // The request is only lent: this backend gives it back when it is told to.
    request[Symbol.dispose ?? Symbol.for('dispose')]();
    return decision;
  },
};

function decide(request) {
  if (!by) {
    // The broker throws the dice, so it need not ask again for each request.
    return { verdict: { tag: 'split', val: [{ weight, to }] }, remember: true };
  }
  const hash = request.stableHash(by);
  const diverted = hash !== undefined && hash % 10000n < BigInt(weight);
  return { verdict: diverted ? { tag: 'rewrite', val: to } : { tag: 'pass' }, remember: true };
}

function parseKey(text) {
  if (text === 'app' || text === 'principal') return { tag: text };
  if (text.startsWith('tag:')) return { tag: 'tag', val: text.slice(4) };
  throw `\`${text}\` is no key; use \`app\`, \`principal\` or \`tag:NAME\``;
}
