import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.ssl.SslContextBuilder;
import io.rsocket.Payload;
import io.rsocket.RSocket;
import io.rsocket.SocketAcceptor;
import io.rsocket.core.RSocketConnector;
import io.rsocket.core.Resume;
import io.rsocket.lease.Lease;
import io.rsocket.metadata.CompositeMetadataCodec;
import io.rsocket.metadata.TaggingMetadataCodec;
import io.rsocket.metadata.WellKnownMimeType;
import io.rsocket.transport.ClientTransport;
import io.rsocket.transport.netty.client.TcpClientTransport;
import io.rsocket.transport.netty.client.WebsocketClientTransport;
import io.rsocket.util.DefaultPayload;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import javax.net.ssl.SSLException;
import reactor.core.publisher.Flux;
import reactor.netty.http.client.HttpClient;
import reactor.netty.tcp.SslProvider;
import reactor.netty.tcp.TcpClient;
import reactor.util.retry.Retry;

/**
 * A test peer on rsocket-java: {@code java -jar interop.jar respond|request --broker URI --service
 * NAME}. The commands and the checks are described in ../README.md. Sends in fragments of 16 KiB;
 * registers with a service object, as the archived broker's own clients do.
 */
public final class Peer {
  private static final String APP_INFO = "message/x.rsocket.application+json";
  private static final String PUBLISHED = "message/x.rsocket.service.registry.v0+json";

  public static void main(String[] args) throws Exception {
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, UTF_8));
    var options = options(args);
    var service = options.get("--service");
    if (args[0].equals("respond")) {
      var rsocket = connect(options, service, new Service());
      rsocket
          .requestResponse(payload(service + ".ping", new byte[0]))
          .retryWhen(Retry.fixedDelay(1000, Duration.ofMillis(10)))
          .block();
      System.out.println("{\"ready\":\"" + service + "\"}");
      rsocket
          .onClose()
          .onErrorComplete()
          .doFinally(end -> System.out.println("{\"closed\":\"" + service + "\"}"))
          .subscribe();
      // The driver holds our standard input; when it goes away, so do we.
      System.in.readAllBytes();
    } else {
      Checks.run(connect(options, null, new RSocket() {}), options);
    }
    System.exit(0);
  }

  private static RSocket connect(Map<String, String> options, String name, RSocket handler) {
    var connector =
        RSocketConnector.create()
            .metadataMimeType("message/x.rsocket.composite-metadata.v0")
            .dataMimeType("application/octet-stream")
            .keepAlive(
                duration(options, "--keepalive", 20_000), duration(options, "--lifetime", 90_000))
            .fragment(16 * 1024)
            .acceptor(SocketAcceptor.with(handler));
    if (name != null) {
      connector.setupPayload(DefaultPayload.create(new byte[0], registration(name)));
    }
    int granted = Integer.parseInt(options.getOrDefault("--lease", "0"));
    if (granted > 0) {
      // It keeps to what it is granted, and as a responder grants so many requests a second.
      var leases =
          Flux.interval(Duration.ZERO, Duration.ofSeconds(1))
              .map(i -> Lease.create(Duration.ofSeconds(1), granted));
      connector.lease(
          spec -> {
            spec.maxPendingRequests(64);
            if (name != null) spec.sender(() -> leases);
          });
    }
    if (options.containsKey("--resume")) {
      connector.resume(new Resume().retry(Retry.fixedDelay(600, Duration.ofMillis(50))));
    }
    return connector.connect(transport(options)).block();
  }

  private static ClientTransport transport(Map<String, String> options) {
    var broker = URI.create(options.get("--broker"));
    var target = TcpClient.create().host(broker.getHost()).port(broker.getPort());
    return switch (broker.getScheme()) {
      case "tcp" -> TcpClientTransport.create(target);
      case "tls" -> TcpClientTransport.create(target.secure(trust(options)));
      case "wss" ->
          WebsocketClientTransport.create(
              HttpClient.create()
                  .host(broker.getHost())
                  .port(broker.getPort())
                  .secure(trust(options)),
              broker.getPath());
      default -> WebsocketClientTransport.create(broker);
    };
  }

  private static Consumer<SslProvider.SslContextSpec> trust(Map<String, String> options) {
    try {
      var roots = SslContextBuilder.forClient().trustManager(new File(options.get("--ca"))).build();
      return spec -> spec.sslContext(roots);
    } catch (SSLException error) {
      throw new IllegalArgumentException(error);
    }
  }

  static Duration duration(Map<String, String> options, String name, int otherwise) {
    var value = options.get(name);
    return Duration.ofMillis(value == null ? otherwise : Integer.parseInt(value));
  }

  private static byte[] registration(String name) {
    var composite = ByteBufAllocator.DEFAULT.compositeBuffer();
    add(composite, APP_INFO, "{\"name\":\"" + name + "\"}");
    add(composite, PUBLISHED, "{\"published\":[{\"service\":\"" + name + "\"}]}");
    return bytes(composite);
  }

  private static void add(CompositeByteBuf composite, String mime, String json) {
    CompositeMetadataCodec.encodeAndAddMetadata(
        composite, ByteBufAllocator.DEFAULT, mime, utf8(json));
  }

  static Payload payload(String route, byte[] data) {
    return DefaultPayload.create(data, metadata(route));
  }

  static byte[] metadata(String route) {
    var composite = ByteBufAllocator.DEFAULT.compositeBuffer();
    CompositeMetadataCodec.encodeAndAddMetadata(
        composite,
        ByteBufAllocator.DEFAULT,
        WellKnownMimeType.MESSAGE_RSOCKET_ROUTING,
        TaggingMetadataCodec.createTaggingContent(ByteBufAllocator.DEFAULT, List.of(route)));
    return bytes(composite);
  }

  private static ByteBuf utf8(String text) {
    return Unpooled.copiedBuffer(text, UTF_8);
  }

  private static byte[] bytes(ByteBuf buffer) {
    try {
      return ByteBufUtil.getBytes(buffer);
    } finally {
      buffer.release();
    }
  }

  private static Map<String, String> options(String[] args) {
    var options = new HashMap<String, String>();
    for (int i = 1; i + 1 < args.length; i += 2) options.put(args[i], args[i + 1]);
    return options;
  }
}
