package jackfield.peer;

import com.alibaba.rsocket.RSocketServiceInterface;
import com.alibaba.rsocket.ServiceMapping;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** One method for each interaction, as the SDK's README writes them. */
@RSocketServiceInterface
public interface OrderService {
    Mono<String> whoami();

    Mono<Order> find(Integer id);

    Mono<Order> findByIdAndNote(Integer id, String note);

    Mono<Void> count(String what);

    Mono<Integer> counted();

    Flux<Order> list(Integer n);

    Flux<Order> each(Flux<Integer> ids);

    Flux<Order> eachOf(String note, Flux<Integer> ids);

    Mono<Integer> sum(Flux<Integer> numbers);

    Mono<String> fail(String text);

    @ServiceMapping(paramEncoding = "application/json", resultEncoding = "application/json")
    Mono<Order> findAsJson(Integer id);
}
