// Prefers instances in one zone.

import { having } from 'jackfield:plugin/candidates@0.1.0';

let zone;

export const lifecycle = {
  // Runs once, before the first request. What it throws goes to the operator.
  configure(json) {
    ({ zone } = JSON.parse(json));
    if (typeof zone !== 'string') throw 'there is no `zone`; name the one to prefer';
  },
};

export const endpointSelector = {
  // Runs for each request that several instances could take. One question for all of them costs less than one each.
  select() {
    const near = having('zone', zone);
    return near.length > 0 ? { tag: 'among', val: near } : { tag: 'any' };
  },
};
