import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.rsocket.core.RSocketConnector;
import io.rsocket.metadata.CompositeMetadataCodec;
import io.rsocket.metadata.TaggingMetadataCodec;
import io.rsocket.metadata.WellKnownMimeType;
import io.rsocket.transport.netty.client.TcpClientTransport;
import io.rsocket.util.DefaultPayload;
import java.net.URI;
import java.util.List;

/** Calls {@code com.example.Greeter.greet} by name: the broker knows who serves it. */
public final class Requester {
  public static void main(String[] args) {
    var broker = URI.create(args.length > 0 ? args[0] : "tcp://127.0.0.1:9999");

    var rsocket =
        RSocketConnector.create()
            .metadataMimeType("message/x.rsocket.composite-metadata.v0")
            .connect(TcpClientTransport.create(broker.getHost(), broker.getPort()))
            .block();

    // The route travels in the request's metadata: service, dot, method.
    var buffers = ByteBufAllocator.DEFAULT;
    var metadata = buffers.compositeBuffer();
    CompositeMetadataCodec.encodeAndAddMetadata(
        metadata,
        buffers,
        WellKnownMimeType.MESSAGE_RSOCKET_ROUTING,
        TaggingMetadataCodec.createTaggingContent(buffers, List.of("com.example.Greeter.greet")));

    var data = Unpooled.wrappedBuffer("Java".getBytes());
    var reply = rsocket.requestResponse(DefaultPayload.create(data, metadata)).block();
    System.out.println(reply.getDataUtf8());
    rsocket.dispose();
  }
}
