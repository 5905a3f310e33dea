import static java.nio.charset.StandardCharsets.UTF_8;

import io.rsocket.Payload;
import io.rsocket.RSocket;
import io.rsocket.RSocketErrorException;
import io.rsocket.util.DefaultPayload;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import java.util.stream.IntStream;
import org.reactivestreams.Publisher;
import org.reactivestreams.Subscription;
import reactor.core.Exceptions;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.util.retry.Retry;

/** What a requester checks, one JSON line each: {"service", "name", "ok", "detail"}. */
final class Checks {
  private static final int ENDLESS = Integer.MAX_VALUE;

  /** Only when they are asked for. */
  private static final List<String> ASKED = List.of("idle", "paced", "drained", "leased");

  private static final String TEXT = "no such order: 42 — ünïcode";

  private record Check(String name, int seconds, Mono<String> body) {}

  private final RSocket peer;
  private final String service;
  private final int items;
  private final String size;
  private final List<String> only;
  private final List<String> brief;
  private final List<String> skip;
  private final Duration lifetime;

  /** Runs what is asked for against every service of the list, {@code NAME[:ITEMS],...}. */
  static void run(RSocket peer, Map<String, String> options) {
    for (var spec : names(options.get("--service"))) {
      var parts = spec.split(":");
      int items = parts.length > 1 ? Integer.parseInt(parts[1]) : 1000;
      new Checks(peer, parts[0], items, options).run();
    }
  }

  private Checks(RSocket peer, String service, int items, Map<String, String> options) {
    this.peer = peer;
    this.service = service;
    this.items = items;
    this.lifetime = Peer.duration(options, "--lifetime", 90_000);
    this.size = options.getOrDefault("--size", "0");
    this.only = names(options.get("--only"));
    this.brief = names(options.get("--brief"));
    this.skip = names(options.get("--skip"));
  }

  private void run() {
    for (var check : all()) {
      if (only.isEmpty() ? ASKED.contains(check.name) : !only.contains(check.name)) continue;
      if (skip.contains(service + "/" + check.name)) continue;
      int limit = brief.contains(service + "/" + check.name) ? 1 : check.seconds;
      long started = System.nanoTime();
      String line;
      try {
        var detail = check.body.timeout(Duration.ofSeconds(limit)).block();
        line = line(check.name, true, detail);
      } catch (Throwable error) {
        line = line(check.name, false, describe(Exceptions.unwrap(error), limit));
      }
      long ms = (System.nanoTime() - started) / 1_000_000;
      System.out.println(line + ",\"service\":\"" + service + "\",\"ms\":" + ms + "}");
    }
  }

  private List<Check> all() {
    return List.of(
        new Check("rr-0", 10, echo(0)),
        new Check("rr-1k", 10, echo(1024)),
        new Check("rr-1m", 20, echo(1024 * 1024)),
        new Check("rr-metadata", 10, metadata()),
        new Check("rr-empty", 10, empty()),
        new Check("rr-many", 30, many()),
        new Check("stream-credit", 120, stream(64)),
        new Check("stream-endless", 120, stream(ENDLESS)),
        new Check("stream-cancel", 10, cancel()),
        new Check("channel-echo", 20, channel(IntStream.range(1, 101).map(i -> i * 10))),
        new Check("channel-empty", 10, channel(IntStream.of(5, 0, 5))),
        new Check("channel-64k", 20, channel(IntStream.of(65_536, 65_537, 65_538))),
        new Check("fnf", 10, fireAndForget()),
        new Check("error-rr", 10, refused(fail("fail"), Service.APPLICATION_ERROR, TEXT)),
        new Check("error-custom", 10, refused(fail("fail-custom"), Service.CUSTOM_ERROR, TEXT)),
        new Check("error-stream", 10, errorInStream()),
        new Check("unknown-route", 10, refused(unknown(), 0x204, "RST-900404.*")),
        new Check("idle", 60, idle()),
        new Check("paced", 60, paced()),
        new Check("drained", 60, drained()),
        new Check("leased", 60, leased()));
  }

  private Mono<byte[]> call(String method, byte[] data) {
    // A request can be subscribed to once; whoever counts until a number is reached asks again.
    return Mono.defer(() -> peer.requestResponse(Peer.payload(service + "." + method, data)))
        .map(Checks::data);
  }

  private Mono<Integer> count(String method) {
    return call(method, bytes("x")).map(data -> Integer.parseInt(new String(data)));
  }

  private Flux<byte[]> request(String method, String data) {
    return peer.requestStream(Peer.payload(service + "." + method, bytes(data))).map(Checks::data);
  }

  private Mono<String> echo(int size) {
    return call("echo", pattern(size))
        .defaultIfEmpty(new byte[0])
        .map(got -> same(got, pattern(size)))
        .map(got -> size + " B");
  }

  /** The responder sends back the request's metadata as data: the broker must not touch it. */
  private Mono<String> metadata() {
    return call("echo-metadata", bytes("x"))
        .map(got -> same(got, Peer.metadata(service + ".echo-metadata")))
        .map(got -> "");
  }

  private Mono<String> empty() {
    return call("empty", bytes("x"))
        .defaultIfEmpty(new byte[0])
        .map(got -> same(got, new byte[0]))
        .map(got -> "");
  }

  private Mono<String> many() {
    return Flux.range(1, 1000)
        .flatMap(this::echo, 32)
        .count()
        .map(n -> n + " calls");
  }

  /** Counts numbered items, {@code step} asked for at a time, and never takes one uncredited. */
  private Mono<String> stream(int step) {
    return Mono.defer(
        () -> {
          var counter = new Counter(step, items);
          request("range", items + " " + size).subscribe(counter);
          return counter.end.asMono();
        });
  }

  private Mono<String> cancel() {
    return count("cancel-count")
        .flatMap(
            before ->
                request("forever", "")
                    .limitRate(16)
                    .take(50)
                    .then(
                        count("cancel-count")
                            .filter(now -> now == before + 1)
                            .repeatWhenEmpty(n -> n.delayElements(Duration.ofMillis(10)))))
        .map(n -> "seen by the responder");
  }

  private Mono<String> channel(IntStream sizes) {
    var sent = sizes.mapToObj(Checks::pattern).toList();
    Publisher<Payload> payloads =
        Flux.range(0, sent.size())
            .map(
                i ->
                    i == 0
                        ? Peer.payload(service + ".echo", sent.get(0))
                        : DefaultPayload.create(sent.get(i)));
    return Flux.defer(() -> peer.requestChannel(payloads))
        .map(Checks::data)
        .limitRate(8)
        .collectList()
        .map(
            got -> {
              if (got.size() != sent.size()) throw new AssertionError(got.size() + " items");
              for (int i = 0; i < sent.size(); i++) same(got.get(i), sent.get(i));
              return got.size() + " items";
            });
  }

  private Mono<String> fireAndForget() {
    return count("fnf-count")
        .flatMap(
            before ->
                Flux.range(0, 10)
                    .map(i -> Peer.payload(service + ".count", pattern(i)))
                    .concatMap(peer::fireAndForget)
                    .then(
                        count("fnf-count")
                            .filter(now -> now == before + 10)
                            .repeatWhenEmpty(n -> n.delayElements(Duration.ofMillis(10)))))
        .map(n -> "10 arrived");
  }

  /** Says nothing for longer than the lifetime that was announced: keepalive alone must do. */
  private Mono<String> idle() {
    return Mono.delay(lifetime.multipliedBy(5).dividedBy(2)).then(echo(100));
  }

  /** A slow stream; something happens to the broker or to the wire while it is under way. */
  private Mono<String> paced() {
    var started = "{\"service\":\"" + service + "\",\"started\":\"paced\"}";
    return Flux.defer(() -> request("paced", items + " 100"))
        .map(data -> Integer.parseInt(new String(data)))
        .doOnNext(
            number -> {
              if (number == 0) System.out.println(started);
            })
        .collectList()
        .doOnNext(
            got -> {
              if (!got.equals(IntStream.range(0, items).boxed().toList()))
                throw new AssertionError(got.toString());
            })
        .map(got -> got.size() + " items");
  }

  /** The broker is told to end meanwhile: the stream comes whole, and then the connection goes. */
  private Mono<String> drained() {
    return paced()
        .flatMap(
            whole -> {
              var closed = peer.onClose().onErrorComplete().timeout(Duration.ofSeconds(10));
              return closed.thenReturn(whole + ", then closed");
            });
  }

  /** More calls than a lease allows: they wait for the next one, or are refused and tried again. */
  private Mono<String> leased() {
    var again = Retry.fixedDelay(1000, Duration.ofMillis(50));
    return Flux.range(0, 12)
        .concatMap(size -> echo(size).retryWhen(again))
        .count()
        .map(n -> n + " calls");
  }

  private Mono<byte[]> fail(String method) {
    return call(method, bytes(TEXT));
  }

  private Mono<byte[]> unknown() {
    return peer.requestResponse(Peer.payload("no.such.service", bytes("x"))).map(Checks::data);
  }

  private Mono<String> errorInStream() {
    return request("fail-after", TEXT)
        .materialize()
        .collectList()
        .flatMap(
            signals -> {
              if (signals.size() != 4) throw new AssertionError(signals.size() + " signals");
              var error = signals.get(3).getThrowable();
              return refused(Mono.error(error), Service.APPLICATION_ERROR, TEXT);
            })
        .map(detail -> "after 3 items");
  }

  private static Mono<String> refused(Mono<?> answer, int code, String text) {
    return answer
        .<String>map(
            got -> {
              throw new AssertionError("answered instead of refused");
            })
        .onErrorResume(
            error -> {
              int found = code(error);
              var message = error.getMessage();
              if (found != code || !(message.equals(text) || message.matches(text)))
                throw new AssertionError("0x" + Integer.toHexString(found) + " " + message);
              return Mono.just("0x" + Integer.toHexString(code) + " " + message);
            });
  }

  private static int code(Throwable error) {
    return error instanceof RSocketErrorException refusal ? refusal.errorCode() : 0;
  }

  private static byte[] data(Payload payload) {
    try {
      return Service.bytes(payload.getData());
    } finally {
      payload.release();
    }
  }

  private static byte[] same(byte[] got, byte[] wanted) {
    if (!Arrays.equals(got, wanted))
      throw new AssertionError(got.length + " bytes, or other ones, for " + wanted.length);
    return got;
  }

  private static byte[] pattern(int size) {
    var bytes = new byte[size];
    for (int i = 0; i < size; i++) bytes[i] = (byte) (i * 31 + (i >> 8));
    return bytes;
  }

  private static byte[] bytes(String text) {
    return text.getBytes(UTF_8);
  }

  private static List<String> names(String list) {
    return list == null || list.isEmpty() ? List.of() : List.of(list.split(","));
  }

  private static String describe(Throwable error, int limit) {
    if (error instanceof TimeoutException) return "nothing after " + limit + " s";
    return (code(error) == 0 ? "" : "0x" + Integer.toHexString(code(error)) + " ") + error;
  }

  private static String line(String name, boolean ok, String detail) {
    var text = detail.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s+", " ");
    return "{\"name\":\"" + name + "\",\"ok\":" + ok + ",\"detail\":\"" + text + "\"";
  }

  /** Takes numbered items in order, within credit. */
  private static final class Counter extends BaseSubscriber<byte[]> {
    final Sinks.One<String> end = Sinks.one();
    private final int step;
    private final int total;
    private long granted;
    private int received;

    Counter(int step, int total) {
      this.step = step;
      this.granted = step;
      this.total = total;
    }

    @Override
    protected void hookOnSubscribe(Subscription subscription) {
      subscription.request(step);
    }

    @Override
    protected void hookOnNext(byte[] data) {
      var text = new String(data).split("\\.", 2)[0];
      if (Integer.parseInt(text) != received) fail("item " + received + " is " + text);
      if (++received > granted) fail(received + " items for a credit of " + granted);
      if (received == granted && received != total) {
        granted += step;
        request(step);
      }
    }

    @Override
    protected void hookOnComplete() {
      if (received != total) fail(received + " items");
      else end.tryEmitValue(received + " items");
    }

    @Override
    protected void hookOnError(Throwable error) {
      end.tryEmitError(error);
    }

    private void fail(String text) {
      cancel();
      end.tryEmitError(new AssertionError(text));
    }
  }
}
