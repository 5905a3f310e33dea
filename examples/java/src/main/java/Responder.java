import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.rsocket.SocketAcceptor;
import io.rsocket.core.RSocketConnector;
import io.rsocket.metadata.CompositeMetadataCodec;
import io.rsocket.transport.netty.client.TcpClientTransport;
import io.rsocket.util.DefaultPayload;
import java.net.URI;
import reactor.core.publisher.Mono;

/**
 * Serves {@code com.example.Greeter} through the broker, over one connection that this program
 * opened.
 */
public final class Responder {
  public static void main(String[] args) {
    var broker = URI.create(args.length > 0 ? args[0] : "tcp://127.0.0.1:9999");

    // Registering: who we are, and what we serve.
    var registration = ByteBufAllocator.DEFAULT.compositeBuffer();
    CompositeMetadataCodec.encodeAndAddMetadata(
        registration,
        ByteBufAllocator.DEFAULT,
        "message/x.rsocket.application+json",
        Unpooled.copiedBuffer("{\"name\":\"greeter-java\"}", UTF_8));
    CompositeMetadataCodec.encodeAndAddMetadata(
        registration,
        ByteBufAllocator.DEFAULT,
        "message/x.rsocket.service.registry.v0+json",
        Unpooled.copiedBuffer("{\"published\":[\"com.example.Greeter\"]}", UTF_8));

    var greeter =
        SocketAcceptor.forRequestResponse(
            request -> Mono.just(DefaultPayload.create("Hello, " + request.getDataUtf8() + "!")));

    var rsocket =
        RSocketConnector.create()
            .metadataMimeType("message/x.rsocket.composite-metadata.v0")
            .setupPayload(DefaultPayload.create(Unpooled.EMPTY_BUFFER, registration))
            .acceptor(greeter)
            .connect(TcpClientTransport.create(broker.getHost(), broker.getPort()))
            .block();

    System.out.println("serving com.example.Greeter");
    rsocket.onClose().block();
  }
}
