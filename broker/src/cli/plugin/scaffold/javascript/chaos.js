// Lets one in ten calls of one app wait.

import { appIs } from 'jackfield:plugin/request@0.1.0';

let app;
let delay;

export const lifecycle = {
  // Runs once, before the first request. What it throws goes to the operator.
  configure(json) {
    ({ app, delay } = JSON.parse(json));
    if (typeof app !== 'string') throw 'there is no `app`; name the one that is to wait';
    if (!Number.isInteger(delay)) throw 'there is no `delay`; say how many milliseconds';
  },
};

export const chaos = {
  // Runs for each request that goes on. The broker throws the dice, of 10000, and carries the fault out; so the plan can
  // be remembered.
  disturb() {
    const faults = appIs(app) ? [{ weight: 1000, fault: { tag: 'delay', val: delay } }] : [];
    return { faults, remember: true };
  },
};
