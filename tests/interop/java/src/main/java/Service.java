import io.rsocket.Payload;
import io.rsocket.RSocket;
import io.rsocket.exceptions.CustomRSocketException;
import io.rsocket.metadata.CompositeMetadata;
import io.rsocket.metadata.RoutingMetadata;
import io.rsocket.util.DefaultPayload;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import org.reactivestreams.Publisher;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** What every responder serves, in rsocket-java's terms. */
final class Service implements RSocket {
  static final int APPLICATION_ERROR = 0x201;
  static final int CUSTOM_ERROR = 0x401;

  private final AtomicInteger fnf = new AtomicInteger();
  private final AtomicInteger cancels = new AtomicInteger();

  @Override
  public Mono<Payload> requestResponse(Payload payload) {
    return switch (method(payload)) {
      case "ping" -> Mono.just(DefaultPayload.create("pong"));
      case "echo" -> Mono.just(DefaultPayload.create(payload.getData()));
      case "echo-metadata" -> Mono.just(DefaultPayload.create(payload.getMetadata()));
      case "empty" -> Mono.empty();
      case "fnf-count" -> Mono.just(DefaultPayload.create(fnf.toString()));
      case "cancel-count" -> Mono.just(DefaultPayload.create(cancels.toString()));
      case "fail" -> Mono.error(new RuntimeException(payload.getDataUtf8()));
      case "fail-custom" ->
          Mono.error(new CustomRSocketException(CUSTOM_ERROR, payload.getDataUtf8()));
      default -> Mono.error(new IllegalArgumentException(method(payload)));
    };
  }

  @Override
  public Mono<Void> fireAndForget(Payload payload) {
    fnf.incrementAndGet();
    return Mono.empty();
  }

  @Override
  public Flux<Payload> requestStream(Payload payload) {
    return switch (method(payload)) {
      case "paced" -> paced(payload.getDataUtf8().split(" "));
      case "range" -> range(payload.getDataUtf8().split(" "));
      case "forever" ->
          Flux.<Integer, Integer>generate(
                  () -> 0,
                  (i, sink) -> {
                    sink.next(i);
                    return i + 1;
                  })
              .map(i -> DefaultPayload.create(i.toString()))
              .doOnCancel(cancels::incrementAndGet);
      case "fail-after" ->
          Flux.range(0, 3)
              .map(i -> DefaultPayload.create(i.toString()))
              .concatWith(Mono.error(new RuntimeException(payload.getDataUtf8())));
      default -> Flux.error(new IllegalArgumentException(method(payload)));
    };
  }

  @Override
  public Flux<Payload> requestChannel(Publisher<Payload> payloads) {
    return Flux.from(payloads).map(payload -> DefaultPayload.create(payload.getData()));
  }

  /** Items that begin with their number; the second argument pads them with dots. */
  private static Flux<Payload> range(String[] arguments) {
    int size = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 0;
    return Flux.range(0, Integer.parseInt(arguments[0]))
        .map(
            i -> {
              var number = i.toString();
              return DefaultPayload.create(
                  number + ".".repeat(Math.max(0, size - number.length())));
            });
  }

  /** The second argument is the time before each item, in milliseconds. */
  private static Flux<Payload> paced(String[] arguments) {
    return range(new String[] {arguments[0]})
        .delayElements(Duration.ofMillis(Integer.parseInt(arguments[1])));
  }

  private static String method(Payload payload) {
    for (var entry : new CompositeMetadata(payload.sliceMetadata(), false)) {
      if ("message/x.rsocket.routing.v0".equals(entry.getMimeType())) {
        var route = new RoutingMetadata(entry.getContent()).iterator().next();
        return route.substring(route.lastIndexOf('.') + 1);
      }
    }
    throw new IllegalArgumentException("a request without a route");
  }

  static byte[] bytes(ByteBuffer buffer) {
    var bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return bytes;
  }
}
