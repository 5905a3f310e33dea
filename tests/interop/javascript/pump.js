// Sends an iterator's items as credit allows, in batches, so that a CANCEL is read in between. An
// iterator with a `pace` gives one item in so many milliseconds.
const BATCH = 256;

export function pump(items, { next, complete, error }) {
  const { pace } = items;
  const batch = pace ? 1 : BATCH;
  let credit = 0;
  let scheduled = false;
  let over = false;

  const schedule = () => {
    if (scheduled || over || credit <= 0) return;
    scheduled = true;
    if (pace) setTimeout(step, pace);
    else setImmediate(step);
  };
  const step = () => {
    scheduled = false;
    try {
      for (let sent = 0; !over && credit > 0 && sent < batch; sent++, credit--) {
        const { value, done } = items.next();
        if (done) {
          over = true;
          return complete();
        }
        next(value);
      }
    } catch (fault) {
      over = true;
      return error(fault);
    }
    schedule();
  };

  return {
    request(n) {
      credit += n;
      schedule();
    },
    cancel() {
      over = true;
      items.return();
    },
  };
}
