// The test peer's face over rsocket-js 1.0.0-alpha. Sends in fragments of 16 KiB.
import { RSocketConnector, RSocketError } from "rsocket-core";
import { TcpClientTransport } from "rsocket-tcp-client";
import { WebsocketClientTransport } from "rsocket-websocket-client";
import {
  decodeCompositeMetadata,
  decodeRoutes,
  encodeCompositeMetadata,
  encodeRoute,
} from "rsocket-composite-metadata";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import WebSocket from "ws";
import { pump } from "../pump.js";

const [APP_INFO, PUBLISHED, ROUTING] = [0x51, 0x54, 0x7e];

export async function connect(options, name, handlers) {
  const entries = name
    ? [
        [APP_INFO, Buffer.from(JSON.stringify({ name }))],
        [PUBLISHED, Buffer.from(JSON.stringify({ published: [name] }))],
      ]
    : [];
  const connector = new RSocketConnector({
    transport: transport(new URL(options.broker), options.ca),
    setup: {
      keepAlive: Number(options.keepalive),
      lifetime: Number(options.lifetime),
      dataMimeType: "application/octet-stream",
      metadataMimeType: "message/x.rsocket.composite-metadata.v0",
      payload: { data: null, metadata: encodeCompositeMetadata(entries) },
    },
    // This client keeps to leases, and grants none.
    lease: Number(options.lease) ? { maxPendingRequests: 64 } : undefined,
    resume: options.resume ? { tokenGenerator: () => randomBytes(16), reconnectFunction } : undefined,
    fragmentation: { maxOutboundFragmentSize: 16 * 1024 },
    responder: name ? responder(handlers) : {},
  });
  return new Peer(await connector.connect());
}

function reconnectFunction() {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

function transport({ protocol, hostname, port, href }, caFile) {
  const ca = caFile ? readFileSync(caFile) : undefined;
  if (protocol === "tcp:" || protocol === "tls:") {
    const connectionOptions = { host: hostname, port, noDelay: true };
    const socketCreator =
      protocol === "tls:" ? (options) => tls.connect({ ...options, ca }) : undefined;
    return new TcpClientTransport({ connectionOptions, socketCreator });
  }
  return new WebsocketClientTransport({ url: href, wsCreator: (url) => new WebSocket(url, { ca }) });
}

class Peer {
  constructor(rsocket) {
    this.rsocket = rsocket;
  }

  closed() {
    return new Promise((resolve) => this.rsocket.onClose(() => resolve()));
  }

  metadata(route) {
    return encodeCompositeMetadata([[ROUTING, encodeRoute(route)]]);
  }

  payload(route, data) {
    return { data: Buffer.from(data), metadata: this.metadata(route) };
  }

  call(route, data) {
    return new Promise((resolve, reject) => {
      this.rsocket.requestResponse(this.payload(route, data), {
        onNext: resolve,
        onComplete: () => resolve({ data: null }),
        onError: reject,
        onExtension() {},
      });
    });
  }

  send(route, data) {
    this.rsocket.fireAndForget(this.payload(route, data), { onComplete() {}, onError() {} });
  }

  stream(route, data, initial, sink) {
    return this.rsocket.requestStream(this.payload(route, data), initial, observer(sink));
  }

  channel(route, items, sink) {
    let sent = 1;
    let ended = items.length === 1;
    const running = this.rsocket.requestChannel(this.payload(route, items[0]), 8, ended, {
      ...observer({
        next(data) {
          sink.next(data);
          if (++received % 8 === 0) running.request(8);
        },
        error: sink.error,
        complete: sink.complete,
      }),
      request(n) {
        for (; n > 0 && sent < items.length; n--) {
          running.onNext({ data: items[sent] }, ++sent === items.length);
        }
      },
      cancel() {},
    });
    let received = 0;
  }
}

function observer({ next, error, complete }) {
  return {
    onNext(payload, last) {
      next(payload.data);
      if (last) complete();
    },
    onError: error,
    onComplete: complete,
    onExtension() {},
  };
}

function responder({ single, fnf, stream }) {
  return {
    fireAndForget(payload) {
      fnf[method(payload)](payload);
      return { cancel() {} };
    },
    requestResponse(payload, answer) {
      setImmediate(() => {
        try {
          const data = single[method(payload)](payload);
          if (data === null) answer.onComplete();
          else answer.onNext({ data }, true);
        } catch (error) {
          answer.onError(refusal(error));
        }
      });
      return { cancel() {}, onExtension() {} };
    },
    requestStream(payload, initial, answer) {
      const running = pump(stream[method(payload)](payload), {
        next: (data) => answer.onNext({ data }, false),
        complete: () => answer.onComplete(),
        error: (error) => answer.onError(refusal(error)),
      });
      running.request(initial);
      return { ...running, onExtension() {} };
    },
    requestChannel(payload, initial, completed, answer) {
      setImmediate(() => {
        answer.onNext({ data: payload.data }, completed);
        if (!completed && initial > 1) answer.request(initial - 1);
      });
      return {
        onNext: ({ data }, last) => answer.onNext({ data }, last),
        onComplete: () => answer.onComplete(),
        onError() {},
        request: (n) => answer.request(n),
        cancel() {},
        onExtension() {},
      };
    },
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

function refusal(error) {
  return error.code ? new RSocketError(error.code, error.message) : error;
}
