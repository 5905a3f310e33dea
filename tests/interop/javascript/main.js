// A test peer: `node main.js GENERATION respond|request --broker URI --service NAME`.
//
// GENERATION picks the client library (alpha or classic); everything else is the same for both.
// The commands and the checks are described in ../README.md.
import { parseArgs } from "node:util";
import { service } from "./service.js";
import { runChecks } from "./checks.js";

const [generation, role, ...rest] = process.argv.slice(2);
const { values: options } = parseArgs({
  args: rest,
  options: {
    broker: { type: "string" },
    service: { type: "string" },
    size: { type: "string", default: "0" },
    only: { type: "string", default: "" },
    brief: { type: "string", default: "" },
    skip: { type: "string", default: "" },
    lease: { type: "string", default: "0" },
    resume: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    keepalive: { type: "string", default: "20000" },
    lifetime: { type: "string", default: "90000" },
  },
});
const { connect } = await import(`./${generation}/client.js`);

// The driver holds our standard input; when it goes away, so do we.
process.stdin.on("end", () => process.exit(0)).resume();

if (role === "respond") {
  const peer = await connect(options, options.service, service());
  await routable(peer, options.service);
  console.log(JSON.stringify({ ready: options.service }));
  await peer.closed();
  console.log(JSON.stringify({ closed: options.service }));
} else {
  const peer = await connect(options, null, {});
  await runChecks(peer, options);
  process.exit(0);
}

/** Until a call to our own service comes back to us through the broker. */
async function routable(peer, name) {
  for (;;) {
    const answer = await peer.call(`${name}.ping`, "").catch(() => null);
    if (answer) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
