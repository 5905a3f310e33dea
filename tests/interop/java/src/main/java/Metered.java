import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.prometheus.PrometheusConfig;
import io.micrometer.prometheus.PrometheusMeterRegistry;
import io.micrometer.prometheus.rsocket.PrometheusRSocketClient;
import io.rsocket.transport.netty.client.TcpClientTransport;
import java.io.OutputStream;
import java.net.URI;
import java.time.Duration;

/**
 * An application whose metrics are read by Micrometer's Prometheus RSocket client, unmodified: `Metered URI`. It says
 * `serving` when the client was greeted, and pushes its last metrics before it ends.
 */
public final class Metered {
  public static void main(String[] args) throws Exception {
    URI uri = URI.create(args[0]);
    PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    Gauge.builder("app.answer", () -> 42).tag("language", "java").register(registry);
    Counter lives = Counter.builder("app.lives").register(registry);
    TcpClientTransport transport = TcpClientTransport.create(uri.getHost(), uri.getPort());
    PrometheusRSocketClient client =
        PrometheusRSocketClient.build(registry, transport)
            .connectBlockingly(Duration.ofSeconds(30));
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  lives.increment();
                  client.pushAndCloseBlockingly();
                }));
    System.out.println("serving");
    System.in.transferTo(OutputStream.nullOutputStream());
    System.exit(0);
  }
}
