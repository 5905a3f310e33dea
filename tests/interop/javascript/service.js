// What every responder serves, in terms that both generations of the client can carry.
//
// A handler of one value returns a Buffer or throws a Fault. A stream handler returns an iterator
// of Buffers; the client pulls one per credit, and calls `return` on it when it is cancelled.

/** An error with a code of its own, for clients that can send one. */
export class Fault extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

export const APPLICATION_ERROR = 0x201;
export const CUSTOM_ERROR = 0x401;

export function service() {
  const seen = { fnf: 0, cancels: 0 };
  return {
    single: {
      ping: () => Buffer.from("pong"),
      echo: ({ data }) => data ?? Buffer.alloc(0),
      "echo-metadata": ({ metadata }) => metadata,
      empty: () => null,
      "fnf-count": () => Buffer.from(String(seen.fnf)),
      "cancel-count": () => Buffer.from(String(seen.cancels)),
      fail: ({ data }) => {
        throw new Fault(APPLICATION_ERROR, data.toString());
      },
      "fail-custom": ({ data }) => {
        throw new Fault(CUSTOM_ERROR, data.toString());
      },
    },
    fnf: {
      count: () => {
        seen.fnf += 1;
      },
    },
    stream: {
      paced: ({ data }) => {
        const [count, pace] = data.toString().split(" ").map(Number);
        return Object.assign(range(count), { pace });
      },
      range: ({ data }) => range(...data.toString().split(" ").map(Number)),
      forever: () => forever(() => (seen.cancels += 1)),
      "fail-after": ({ data }) => failAfter(data.toString()),
    },
    // The one channel, `echo`, is a matter of the client's own types.
  };
}

/** Items that begin with their number; `size` pads them with dots. */
function* range(count, size = 0) {
  for (let i = 0; i < count; i++) yield Buffer.from(String(i).padEnd(size, "."));
}

function* forever(onCancel) {
  try {
    for (let i = 0; ; i++) yield Buffer.from(String(i));
  } finally {
    onCancel();
  }
}

function* failAfter(text) {
  for (let i = 0; i < 3; i++) yield Buffer.from(String(i));
  throw new Fault(APPLICATION_ERROR, text);
}
