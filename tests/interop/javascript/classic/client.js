// The test peer's face over rsocket-js 0.0.x. This client sends every message in one frame, and
// every error with code 0x201; it spells the registering entries by their full MIME text.
import core from "rsocket-core";
import flowable from "rsocket-flowable";
import tcp from "rsocket-tcp-client";
import websocket from "rsocket-websocket-client";
import { readFileSync } from "node:fs";
import WebSocket from "ws";
import { pump } from "../pump.js";

const { BufferEncoders, IdentitySerializers, Lease, Leases, RSocketClient } = core;
const { decodeCompositeMetadata, decodeRoutes, encodeCompositeMetadata, encodeRoute } = core;
const { Flowable, Single } = flowable;

const APP_INFO = "message/x.rsocket.application+json";
const PUBLISHED = "message/x.rsocket.service.registry.v0+json";
const ROUTING = 0x7e;
const ENDLESS = 0x7fffffff;

export async function connect(options, name, handlers) {
  const entries = name
    ? [
        [APP_INFO, Buffer.from(JSON.stringify({ name }))],
        [PUBLISHED, Buffer.from(JSON.stringify({ published: [name] }))],
      ]
    : [];
  const client = new RSocketClient({
    transport: transport(new URL(options.broker), options.ca),
    serializers: IdentitySerializers,
    setup: {
      keepAlive: Number(options.keepalive),
      lifetime: Number(options.lifetime),
      dataMimeType: "application/octet-stream",
      metadataMimeType: "message/x.rsocket.composite-metadata.v0",
      payload: { metadata: encodeCompositeMetadata(entries) },
    },
    leases: Number(options.lease) ? () => leases(Number(options.lease)) : undefined,
    responder: name ? responder(handlers) : {},
  });
  return new Peer(await settle(client.connect()));
}

/** Grants so many requests a second. */
function leases(requests) {
  const grants = new Flowable((subscriber) => {
    const grant = () => subscriber.onNext(new Lease(1000, requests));
    let timer;
    subscriber.onSubscribe({
      request() {
        timer ??= setInterval(grant, 1000);
        setImmediate(grant);
      },
      cancel: () => clearInterval(timer),
    });
  });
  return new Leases().sender(() => grants);
}

function transport({ protocol, hostname, port, href }, caFile) {
  const ca = caFile ? readFileSync(caFile) : undefined;
  const target = { host: hostname, port: Number(port), noDelay: true };
  if (protocol === "tcp:") return new tcp.default(target, BufferEncoders);
  if (protocol === "tls:") return new tcp.RSocketTlsClient({ ...target, ca }, BufferEncoders);
  const wsCreator = (url) => new WebSocket(url, { ca });
  return new websocket.default({ url: href, wsCreator }, BufferEncoders);
}

class Peer {
  constructor(rsocket) {
    this.rsocket = rsocket;
  }

  closed() {
    return new Promise((resolve) => {
      this.rsocket.connectionStatus().subscribe({
        onSubscribe: (subscription) => subscription.request(ENDLESS),
        onNext: ({ kind }) => ["CLOSED", "ERROR"].includes(kind) && resolve(),
      });
    });
  }

  metadata(route) {
    return encodeCompositeMetadata([[ROUTING, encodeRoute(route)]]);
  }

  payload(route, data) {
    return { data: Buffer.from(data), metadata: this.metadata(route) };
  }

  call(route, data) {
    return settle(this.rsocket.requestResponse(this.payload(route, data)));
  }

  send(route, data) {
    this.rsocket.fireAndForget(this.payload(route, data));
  }

  stream(route, data, initial, sink) {
    let running;
    this.rsocket.requestStream(this.payload(route, data)).subscribe({
      onSubscribe: (subscription) => {
        running = subscription;
        running.request(initial);
      },
      ...subscriber(sink),
    });
    return running;
  }

  channel(route, items, sink) {
    const outgoing = new Flowable((subscriber) => {
      let sent = 0;
      subscriber.onSubscribe({
        request(n) {
          for (; n > 0 && sent < items.length; n--) {
            const metadata = sent === 0 ? peerMetadata : undefined;
            subscriber.onNext({ data: items[sent++], metadata });
            if (sent === items.length) subscriber.onComplete();
          }
        },
        cancel() {},
      });
    });
    const peerMetadata = this.metadata(route);
    let running;
    let received = 0;
    this.rsocket.requestChannel(outgoing).subscribe({
      onSubscribe: (subscription) => (running = subscription).request(8),
      ...subscriber({
        ...sink,
        next(data) {
          sink.next(data);
          if (++received % 8 === 0) running.request(8);
        },
      }),
    });
  }
}

function subscriber({ next, error, complete }) {
  return {
    onNext: (payload) => next(payload.data),
    onError: (fault) => error(plain(fault)),
    onComplete: complete,
  };
}

function settle(single) {
  return new Promise((resolve, reject) => {
    single.subscribe({ onComplete: resolve, onError: (fault) => reject(plain(fault)) });
  });
}

/** This client puts the frame's code and text aside; the checks want them in the usual place. */
function plain(fault) {
  if (!fault.source) return fault;
  return Object.assign(new Error(fault.source.message), { code: fault.source.code });
}

function responder({ single, fnf, stream }) {
  return {
    fireAndForget: (payload) => fnf[method(payload)](payload),
    requestResponse(payload) {
      try {
        const data = single[method(payload)](payload);
        return Single.of({ data });
      } catch (error) {
        return Single.error(error);
      }
    },
    requestStream: (payload) =>
      new Flowable((subscriber) =>
        subscriber.onSubscribe(
          pump(stream[method(payload)](payload), {
            next: (data) => subscriber.onNext({ data }),
            complete: () => subscriber.onComplete(),
            error: (fault) => subscriber.onError(fault),
          }),
        ),
      ),
    requestChannel: (payloads) => payloads.map(({ data }) => ({ data })),
  };
}

function method({ metadata }) {
  for (const entry of decodeCompositeMetadata(metadata)) {
    if (entry.mimeType === "message/x.rsocket.routing.v0") {
      const [route] = decodeRoutes(entry.content);
      return route.slice(route.lastIndexOf(".") + 1);
    }
  }
  throw new Error("a request without a route");
}
