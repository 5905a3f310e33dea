package jackfield.peer;

import com.alibaba.rsocket.cloudevents.CloudEventImpl;
import com.alibaba.rsocket.cloudevents.Json;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.context.event.EventListener;
import org.springframework.stereotype.Component;

/** The events that were pushed to this application, as the SDK hands them to any listener. */
@Component
public class Heard {
    private final List<String> events = new CopyOnWriteArrayList<>();

    @EventListener
    public void on(CloudEventImpl<?> event) {
        events.add(event.getAttributes().getType() + " " + Json.serializeAsText(event));
    }

    List<String> events() {
        return events;
    }
}
