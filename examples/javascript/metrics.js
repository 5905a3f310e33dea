// Lets Prometheus see this program through the broker: it publishes `jackfield.Metrics`, whose method
// `scrape` answers with text in the Prometheus format. No port of its own.
import { RSocketConnector } from "rsocket-core";
import { TcpClientTransport } from "rsocket-tcp-client";
import { encodeCompositeMetadata } from "rsocket-composite-metadata";

const broker = new URL(process.argv[2] ?? "tcp://127.0.0.1:9999");

const registration = encodeCompositeMetadata([
  ["message/x.rsocket.application+json", Buffer.from('{"name":"metered-js"}')],
  ["message/x.rsocket.service.registry.v0+json", Buffer.from('{"published":["jackfield.Metrics"]}')],
]);

const rsocket = await new RSocketConnector({
  transport: new TcpClientTransport({
    connectionOptions: { host: broker.hostname, port: broker.port },
  }),
  setup: {
    metadataMimeType: "message/x.rsocket.composite-metadata.v0",
    payload: { data: null, metadata: registration },
  },
  responder: { requestResponse: scrape },
}).connect();

console.log("serving jackfield.Metrics");
rsocket.onClose(() => console.log("the broker has gone"));

// In a real program: `prom-client`, and `await register.metrics()`.
function scrape(_request, answer) {
  const page = `# HELP app_answer What this program knows.
# TYPE app_answer gauge
app_answer{language="javascript"} 42
# HELP app_uptime_seconds_total How long it has run.
# TYPE app_uptime_seconds_total counter
app_uptime_seconds_total ${process.uptime()}
`;
  setImmediate(() => answer.onNext({ data: Buffer.from(page) }, true));
  return { cancel() {}, onExtension() {} };
}
