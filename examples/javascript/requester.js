// Calls `com.example.Greeter.greet` by name: the broker knows who serves it.
import { RSocketConnector } from "rsocket-core";
import { TcpClientTransport } from "rsocket-tcp-client";
import {
  encodeCompositeMetadata,
  encodeRoute,
  WellKnownMimeType,
} from "rsocket-composite-metadata";

const broker = new URL(process.argv[2] ?? "tcp://127.0.0.1:9999");

const rsocket = await new RSocketConnector({
  transport: new TcpClientTransport({
    connectionOptions: { host: broker.hostname, port: broker.port },
  }),
  setup: { metadataMimeType: "message/x.rsocket.composite-metadata.v0" },
}).connect();

// The route travels in the request's metadata: service, dot, method.
const metadata = encodeCompositeMetadata([
  [WellKnownMimeType.MESSAGE_RSOCKET_ROUTING, encodeRoute("com.example.Greeter.greet")],
]);

rsocket.requestResponse(
  { data: Buffer.from("JavaScript"), metadata },
  {
    onNext: (reply) => end(0, reply.data.toString()),
    onComplete: () => end(0, "(an empty reply)"),
    onError: (error) => end(1, error.message),
    onExtension() {},
  },
);

function end(status, text) {
  console.log(text);
  process.exit(status);
}
