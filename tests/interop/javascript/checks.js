// What a requester checks, one JSON line each: {"service", "name", "ok", "detail"}.
//
// `peer` is the same small face over both generations (see alpha/client.js); a check returns a word
// or two on what it saw, or throws.
import assert from "node:assert/strict";
import { APPLICATION_ERROR, CUSTOM_ERROR } from "./service.js";

const ENDLESS = 0x7fffffff;
const LENGTHS = Array.from({ length: 100 }, (_, i) => 10 + i * 10);
const TEXT = "no such order: 42 — ünïcode";

export async function runChecks(peer, { service: services, size, only, brief, skip, lifetime }) {
  for (const spec of services.split(",")) {
    const [service, items = "1000"] = spec.split(":");
    const subject = { peer, service, items: Number(items), size, lifetime: Number(lifetime) };
    await runAll(subject, only.split(",").filter(Boolean), brief.split(","), skip.split(","));
  }
}

async function runAll(subject, only, brief, skip) {
  const { service } = subject;
  for (const [name, seconds, check] of CHECKS) {
    if (only.length ? !only.includes(name) : ASKED.includes(name)) continue;
    if (skip.includes(`${service}/${name}`)) continue;
    const limit = brief.includes(`${service}/${name}`) ? 1 : seconds;
    const started = performance.now();
    let line;
    try {
      const detail = await within(limit, check(subject));
      line = { service, name, ok: true, detail: String(detail ?? "") };
    } catch (error) {
      line = { service, name, ok: false, detail: describe(error) };
    }
    line.ms = Math.round(performance.now() - started);
    console.log(JSON.stringify(line));
  }
}

const CHECKS = [
  ["rr-0", 10, ({ peer, service }) => echo(peer, service, 0)],
  ["rr-1k", 10, ({ peer, service }) => echo(peer, service, 1024)],
  ["rr-1m", 20, ({ peer, service }) => echo(peer, service, 1024 * 1024)],
  ["rr-metadata", 10, metadata],
  ["rr-empty", 10, empty],
  ["rr-many", 30, many],
  ["stream-credit", 120, (subject) => stream(subject, 64)],
  ["stream-endless", 120, (subject) => stream(subject, ENDLESS)],
  ["stream-cancel", 10, cancel],
  ["channel-echo", 20, (subject) => channel(subject, LENGTHS)],
  ["channel-empty", 10, (subject) => channel(subject, [5, 0, 5])],
  ["channel-64k", 20, (subject) => channel(subject, [65_536, 65_537, 65_538])],
  ["fnf", 10, fireAndForget],
  ["error-rr", 10, (subject) => fails(subject, "fail", APPLICATION_ERROR)],
  ["error-custom", 10, (subject) => fails(subject, "fail-custom", CUSTOM_ERROR)],
  ["error-stream", 10, errorInStream],
  ["unknown-route", 10, unknown],
  ["idle", 60, idle],
  ["paced", 60, paced],
  ["drained", 60, drained],
  ["leased", 60, leased],
];

/** Only when they are asked for. */
const ASKED = ["idle", "paced", "drained", "leased"];

async function echo(peer, service, size) {
  const sent = pattern(size);
  const { data } = await peer.call(`${service}.echo`, sent);
  assert.ok(sent.equals(data ?? Buffer.alloc(0)), `${data?.length} bytes back, or other ones`);
  return `${size} B`;
}

// The responder sends back the request's metadata as its data: the broker must not have touched it.
async function metadata({ peer, service }) {
  const route = `${service}.echo-metadata`;
  const { data } = await peer.call(route, "x");
  assert.deepEqual(data, peer.metadata(route));
}

async function empty({ peer, service }) {
  const { data } = await peer.call(`${service}.empty`, "x");
  assert.equal(data?.length ?? 0, 0);
}

async function many({ peer, service }) {
  const calls = 1000;
  let next = 0;
  const worker = async () => {
    while (next < calls) {
      const sent = pattern(++next);
      const { data } = await peer.call(`${service}.echo`, sent);
      assert.ok(sent.equals(data ?? Buffer.alloc(0)));
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  return `${calls} calls`;
}

/**
 * Counts numbered items, asks for `step` more whenever `step` have come, and never takes one
 * uncredited.
 */
async function stream({ peer, service, items, size }, step) {
  let [received, granted] = [0, step];
  await new Promise((resolve, reject) => {
    const fail = (text) => {
      running.cancel();
      reject(new Error(text));
    };
    const running = peer.stream(`${service}.range`, `${items} ${size}`, step, {
      next(data) {
        if (Number.parseInt(data) !== received) return fail(`item ${received} is ${data}`);
        if (++received > granted) return fail(`${received} items for a credit of ${granted}`);
        if (received === granted && received < items) running.request(((granted += step), step));
      },
      error: reject,
      complete: resolve,
    });
  });
  assert.equal(received, items);
  return `${received} items`;
}

async function cancel({ peer, service }) {
  const before = await count(peer, `${service}.cancel-count`);
  await new Promise((resolve, reject) => {
    let received = 0;
    const running = peer.stream(`${service}.forever`, "", 16, {
      next() {
        received += 1;
        if (received === 50) resolve(running.cancel());
        else if (received % 16 === 0) running.request(16);
      },
      error: reject,
      complete: () => reject(new Error("an endless stream ended")),
    });
  });
  await until(async () => (await count(peer, `${service}.cancel-count`)) === before + 1);
  return "seen by the responder";
}

async function channel({ peer, service }, sizes) {
  const sent = sizes.map(pattern);
  const received = [];
  await new Promise((resolve, reject) => {
    peer.channel(`${service}.echo`, sent, {
      next: (data) => received.push(data ?? Buffer.alloc(0)),
      error: reject,
      complete: resolve,
    });
  });
  assert.equal(received.length, sent.length);
  sent.forEach((data, i) => assert.ok(data.equals(received[i]), `item ${i}`));
  return `${sent.length} items`;
}

async function fireAndForget({ peer, service }) {
  const before = await count(peer, `${service}.fnf-count`);
  for (let i = 0; i < 10; i++) peer.send(`${service}.count`, pattern(i));
  await until(async () => (await count(peer, `${service}.fnf-count`)) === before + 10);
  return "10 arrived";
}

function fails({ peer, service }, method, code) {
  return refused(peer.call(`${service}.${method}`, TEXT), code, TEXT);
}

function unknown({ peer }) {
  return refused(peer.call("no.such.service", "x"), 0x204, /RST-900404/);
}

/** Says nothing for longer than the lifetime that was announced: keepalive alone must do. */
async function idle({ peer, service, lifetime }) {
  await new Promise((resolve) => setTimeout(resolve, lifetime * 2.5));
  return echo(peer, service, 100);
}

/** A slow stream; something happens to the broker or to the wire while it is under way. */
async function paced({ peer, service, items }) {
  let received = 0;
  await new Promise((resolve, reject) => {
    peer.stream(`${service}.paced`, `${items} 100`, ENDLESS, {
      next(data) {
        if (Number.parseInt(data) !== received) reject(new Error(`item ${received} is ${data}`));
        if (++received === 1) console.log(JSON.stringify({ service, started: "paced" }));
      },
      error: reject,
      complete: resolve,
    });
  });
  assert.equal(received, items);
  return `${received} items`;
}

/** The broker is told to end meanwhile: the stream comes whole, and then the connection goes. */
async function drained(subject) {
  const whole = await paced(subject);
  await within(10, subject.peer.closed());
  return `${whole}, then closed`;
}

/** More calls than a lease allows: they wait for the next one, or are refused and tried again. */
async function leased({ peer, service }) {
  let refused = 0;
  for (let done = 0; done < 12; ) {
    const sent = pattern(done);
    const answer = await peer.call(`${service}.echo`, sent).catch(() => null);
    if (answer) {
      done += 1;
    } else {
      refused += 1;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return `12 calls, ${refused} refused`;
}

async function errorInStream({ peer, service }) {
  let received = 0;
  const ended = new Promise((resolve, reject) => {
    peer.stream(`${service}.fail-after`, TEXT, ENDLESS, {
      next: () => (received += 1),
      error: reject,
      complete: resolve,
    });
  });
  await refused(ended, APPLICATION_ERROR, TEXT);
  assert.equal(received, 3);
  return "after 3 items";
}

async function refused(answer, code, text) {
  const error = await answer.then(
    () => assert.fail("answered instead of refused"),
    (error) => error,
  );
  assert.equal(error.code, code, describe(error));
  if (text instanceof RegExp) assert.match(error.message, text);
  else assert.equal(error.message, text);
  return `0x${code.toString(16)} ${error.message}`;
}

async function count(peer, route) {
  return Number((await peer.call(route, "x")).data);
}

async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

function within(seconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function pattern(size) {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
}

function describe(error) {
  const code = typeof error.code === "number" ? `0x${error.code.toString(16)} ` : "";
  return code + (error.message ?? error);
}
