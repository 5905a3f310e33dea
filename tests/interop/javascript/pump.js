// Sends an iterator's items as credit allows, in batches, so that a CANCEL is read in between.
const BATCH = 256;

export function pump(items, { next, complete, error }) {
  let credit = 0;
  let scheduled = false;
  let over = false;

  const schedule = () => {
    if (scheduled || over || credit <= 0) return;
    scheduled = true;
    setImmediate(step);
  };
  const step = () => {
    scheduled = false;
    try {
      for (let batch = 0; !over && credit > 0 && batch < BATCH; batch++, credit--) {
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
