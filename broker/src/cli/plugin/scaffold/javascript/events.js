// Writes to the log who comes and goes. Needs allow = ["log"].

import { write } from 'jackfield:plugin/log@0.1.0';

let prefix;

export const lifecycle = {
  // Runs once, before the first event. What it throws goes to the operator.
  configure(json) {
    ({ prefix } = JSON.parse(json));
    if (typeof prefix !== 'string') throw 'there is no `prefix`';
  },
};

export const events = {
  // Runs with what has happened since the last time, oldest first.
  onEvents(events, _dropped) {
    for (const { what } of events) {
      if (what.tag === 'app-connected') write('info', `${prefix}: ${what.val.name} has connected`);
      if (what.tag === 'app-gone') write('info', `${prefix}: ${what.val.app.name} is gone, ${what.val.reason}`);
    }
  },
};
