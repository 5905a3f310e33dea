// Sends a share of the calls to another version, or group, of the same service.
//
//   [plugin.settings]
//   percent = 30
//   version = "canary"      # or group = "canary"
//   by = "tag:user"         # optional: the same user always gets the same answer

import { stableHash, stableHashOfTag } from 'jackfield:plugin/request@0.1.0';

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
  onRequest() {
    if (!by) {
      // The broker throws the dice, so it need not ask again for each request.
      return { verdict: { tag: 'split', val: [{ weight, to }] }, remember: true };
    }
    // 0: the caller has no such key, and stays where it is.
    const hash = by.tag ? stableHashOfTag(by.tag) : stableHash(by);
    const diverted = hash !== 0n && hash % 10000n < BigInt(weight);
    return { verdict: diverted ? { tag: 'rewrite', val: to } : { tag: 'pass' }, remember: true };
  },
};

function parseKey(text) {
  if (text === 'app' || text === 'principal') return text;
  if (text.startsWith('tag:') && text.length > 4) return { tag: text.slice(4) };
  throw `\`${text}\` is no key; use \`app\`, \`principal\` or \`tag:NAME\``;
}
