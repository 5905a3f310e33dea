package jackfield.peer;

import com.alibaba.rsocket.RSocketAppContext;
import com.alibaba.rsocket.ServiceLocator;
import com.alibaba.rsocket.cloudevents.CloudEventImpl;
import com.alibaba.rsocket.cloudevents.CloudEventsNotifyService;
import com.alibaba.rsocket.cloudevents.RSocketCloudEventBuilder;
import com.alibaba.rsocket.discovery.DiscoveryService;
import com.alibaba.rsocket.discovery.RSocketServiceInstance;
import com.alibaba.rsocket.events.AppStatusEvent;
import com.alibaba.rsocket.events.CloudEventSupport;
import com.alibaba.rsocket.events.ServicesExposedEvent;
import com.alibaba.rsocket.events.ServicesHiddenEvent;
import com.alibaba.rsocket.health.RSocketServiceHealth;
import com.alibaba.rsocket.invocation.RSocketRemoteServiceBuilder;
import com.alibaba.rsocket.loadbalance.LoadBalancedRSocket;
import com.alibaba.rsocket.transport.NetworkUtil;
import com.alibaba.rsocket.upstream.UpstreamManager;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.stereotype.Component;
import reactor.core.publisher.Flux;

/** The commands, one case each. */
@Component
public class Commands {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    @Autowired
    private UpstreamManager upstreams;
    @Autowired
    private Heard heard;
    private final Map<String, OrderService> proxies = new HashMap<>();

    String uuid() {
        return RSocketAppContext.ID;
    }

    /** What came of it, or `! ` and why it failed. */
    String answer(String line) {
        try {
            String[] words = line.split(" ", 3);
            String rest = words.length > 2 ? words[2] : "";
            return String.valueOf(run(words[0], words.length > 1 ? words[1] : "", rest)).replace('\n', ' ');
        } catch (Throwable failure) {
            Throwable cause = failure.getCause() instanceof TimeoutException ? failure.getCause() : failure;
            return ("! " + cause.getClass().getSimpleName() + " " + cause.getMessage()).replace('\n', ' ');
        }
    }

    /** `how` picks the proxy: `-`, or `group=g;version=1;endpoint=ip:1.2.3.4;sticky=1`. */
    private Object run(String command, String how, String rest) throws Exception {
        switch (command) {
            case "whoami":
                return Flux.range(0, Integer.parseInt(rest)).concatMap(i -> orders(how).whoami())
                        .collect(Collectors.joining(",")).block(PATIENCE);
            case "find":
                return orders(how).find(Integer.valueOf(rest)).block(PATIENCE);
            case "findTwo":
                return orders(how).findByIdAndNote(7, rest).block(PATIENCE);
            case "count":
                orders(how).count(rest).block(PATIENCE);
                return "told";
            case "counted":
                return orders(how).counted().block(PATIENCE);
            case "list":
                return orders(how).list(Integer.valueOf(rest)).collectList().block(PATIENCE);
            case "each":
                return orders(how).each(numbers(rest)).collectList().block(PATIENCE);
            case "eachOf":
                return orders(how).eachOf("of", numbers(rest)).collectList().block(PATIENCE);
            case "sum":
                return orders(how).sum(numbers(rest)).block(PATIENCE);
            case "fail":
                return orders(how).fail(rest).block(PATIENCE);
            case "json":
                return orders(how).findAsJson(Integer.valueOf(rest)).block(PATIENCE);
            case "health":
                return client(RSocketServiceHealth.class).check(rest).block(PATIENCE);
            case "instances":
                return discovery().getInstances(rest).block(PATIENCE).stream().map(Commands::show).sorted()
                        .collect(Collectors.toList());
            case "instance":
                RSocketServiceInstance instance = discovery().getInstance(rest).block(PATIENCE);
                return instance == null ? "none" : show(instance);
            case "apps":
                return discovery().findAppInstances(rest).block(PATIENCE).stream()
                        .map(app -> app.substring(0, app.lastIndexOf(','))).sorted().collect(Collectors.toList());
            case "services":
                return new TreeSet<>(discovery().getAllServices().block(PATIENCE));
            case "notify":
                client(CloudEventsNotifyService.class).notify(how, rest).block(PATIENCE);
                return "told";
            case "notifyAll":
                client(CloudEventsNotifyService.class).notifyAll(how, rest).block(PATIENCE);
                return "told";
            case "status":
                push(new AppStatusEvent(uuid(), Integer.valueOf(rest)));
                return "told";
            case "expose":
                ServicesExposedEvent exposed = new ServicesExposedEvent();
                exposed.setAppId(uuid());
                exposed.addService(new ServiceLocator("", rest, ""));
                push(exposed);
                return "told";
            case "hide":
                ServicesHiddenEvent hidden = new ServicesHiddenEvent();
                hidden.setAppId(uuid());
                hidden.setServices(Collections.singleton(new ServiceLocator("", rest, "")));
                push(hidden);
                return "told";
            case "ip":
                return NetworkUtil.LOCAL_IP;
            case "events":
                return heard.events();
            case "brokers":
                return new TreeSet<>(balanced().getLastRSocketUris());
            case "active":
                return new TreeSet<>(balanced().getActiveSockets().keySet());
            case "upstream":
                return upstreams.findClusterByServiceId(rest) == null ? "none"
                        : upstreams.findClusterByServiceId(rest).getLoadBalancedRSocket().getLastRSocketUris();
            default:
                throw new IllegalArgumentException("no such command: " + command);
        }
    }

    private static String show(RSocketServiceInstance instance) {
        return instance.getServiceId() + "@" + instance.getUri() + "#" + instance.getInstanceId();
    }

    private static Flux<Integer> numbers(String text) {
        List<Integer> numbers = new ArrayList<>();
        Arrays.stream(text.split(",")).map(Integer::valueOf).forEach(numbers::add);
        return Flux.fromIterable(numbers);
    }

    private LoadBalancedRSocket balanced() {
        return upstreams.findBroker().getLoadBalancedRSocket();
    }

    private <T extends CloudEventSupport<T>> void push(T event) {
        CloudEventImpl<T> cloudEvent = RSocketCloudEventBuilder.builder(event).build();
        balanced().fireCloudEventToUpstreamAll(cloudEvent).block(PATIENCE);
    }

    private DiscoveryService discovery() {
        return upstreams.findBrokerDiscoveryService();
    }

    private <T> T client(Class<T> service) {
        return RSocketRemoteServiceBuilder.client(service).upstreamManager(upstreams).build();
    }

    private OrderService orders(String how) {
        return proxies.computeIfAbsent(how, this::proxy);
    }

    private OrderService proxy(String how) {
        RSocketRemoteServiceBuilder<OrderService> builder =
                RSocketRemoteServiceBuilder.client(OrderService.class).upstreamManager(upstreams).timeoutMillis(5000);
        if (!how.equals("-")) {
            for (String setting : how.split(";")) {
                String[] pair = setting.split("=", 2);
                switch (pair[0]) {
                    case "group" -> builder.group(pair[1]);
                    case "version" -> builder.version(pair[1]);
                    case "endpoint" -> builder.endpoint(pair[1]);
                    case "service" -> builder.service(pair[1]);
                    case "sticky" -> builder.sticky(true);
                    default -> throw new IllegalArgumentException(setting);
                }
            }
        }
        return builder.build();
    }
}
