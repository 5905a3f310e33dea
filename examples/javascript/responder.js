// Serves `com.example.Greeter` through the broker, over one connection that this program opened:
// no port of its own.
import { RSocketConnector } from "rsocket-core";
import { TcpClientTransport } from "rsocket-tcp-client";
import { encodeCompositeMetadata } from "rsocket-composite-metadata";

const broker = new URL(process.argv[2] ?? "tcp://127.0.0.1:9999");

// Registering: who we are, and what we serve.
const app = '{"name":"greeter-js"}';
const services = '{"published":["com.example.Greeter"]}';
const registration = encodeCompositeMetadata([
  ["message/x.rsocket.application+json", Buffer.from(app)],
  ["message/x.rsocket.service.registry.v0+json", Buffer.from(services)],
]);

const rsocket = await new RSocketConnector({
  transport: new TcpClientTransport({
    connectionOptions: { host: broker.hostname, port: broker.port },
  }),
  setup: {
    metadataMimeType: "message/x.rsocket.composite-metadata.v0",
    payload: { data: null, metadata: registration },
  },
  responder: { requestResponse: greet },
}).connect();

console.log("serving com.example.Greeter");
rsocket.onClose(() => console.log("the broker has gone"));

function greet(request, answer) {
  setImmediate(() => answer.onNext({ data: Buffer.from(`Hello, ${request.data}!`) }, true));
  return { cancel() {}, onExtension() {} };
}
