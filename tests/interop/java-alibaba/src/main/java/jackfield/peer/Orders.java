package jackfield.peer;

import com.alibaba.rsocket.RSocketService;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.stereotype.Service;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

@RSocketService(serviceInterface = OrderService.class)
@Service
@ConditionalOnProperty("peer.serve")
public class Orders implements OrderService {
    private final AtomicInteger counter = new AtomicInteger();

    @Value("${peer.name}")
    private String name;

    @Override
    public Mono<String> whoami() {
        return Mono.just(name);
    }

    @Override
    public Mono<Order> find(Integer id) {
        return Mono.just(new Order(id, "found"));
    }

    @Override
    public Mono<Order> findByIdAndNote(Integer id, String note) {
        return Mono.just(new Order(id, note));
    }

    @Override
    public Mono<Void> count(String what) {
        return Mono.fromRunnable(counter::incrementAndGet);
    }

    @Override
    public Mono<Integer> counted() {
        return Mono.fromSupplier(counter::get);
    }

    @Override
    public Flux<Order> list(Integer n) {
        return Flux.range(0, n).map(id -> new Order(id, "listed"));
    }

    @Override
    public Flux<Order> each(Flux<Integer> ids) {
        return ids.map(id -> new Order(id, "each"));
    }

    @Override
    public Flux<Order> eachOf(String note, Flux<Integer> ids) {
        return ids.map(id -> new Order(id, note));
    }

    @Override
    public Mono<Integer> sum(Flux<Integer> numbers) {
        return numbers.reduce(0, Integer::sum);
    }

    @Override
    public Mono<String> fail(String text) {
        return Mono.error(new IllegalStateException(text));
    }

    @Override
    public Mono<Order> findAsJson(Integer id) {
        return Mono.just(new Order(id, "json"));
    }
}
