package jackfield.starters;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.discovery.ReactiveDiscoveryClient;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * An application that knows nothing of the starters but what Spring Cloud makes of them: properties, and discovery. One
 * line of standard input is one command, one line of standard output its answer. Ends with its standard input.
 */
@SpringBootApplication
public class Starters {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    public static void main(String[] args) throws Exception {
        ConfigurableApplicationContext context = SpringApplication.run(Starters.class, args);
        System.out.println("ready starters");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println("= " + answer(context, line.split(" ", 2)));
        }
        Runtime.getRuntime().halt(0);
    }

    private static String answer(ConfigurableApplicationContext context, String[] words) {
        try {
            return switch (words[0]) {
                case "property" -> context.getEnvironment().getProperty(words[1]);
                case "services" -> new TreeSet<>(discovery(context).getServices().collectList().block(PATIENCE)).toString();
                case "instances" -> discovery(context).getInstances(words[1])
                        .map(it -> it.getServiceId() + "@" + it.getHost() + "#" + it.getInstanceId())
                        .collect(Collectors.toCollection(TreeSet::new)).block(PATIENCE).toString();
                default -> throw new IllegalArgumentException("no such command: " + words[0]);
            };
        } catch (RuntimeException failure) {
            return ("! " + failure).replace('\n', ' ');
        }
    }

    /** The starter's own, among those that Spring Cloud asks one after the other. */
    private static ReactiveDiscoveryClient discovery(ConfigurableApplicationContext context) {
        return context.getBeansOfType(ReactiveDiscoveryClient.class).values().stream()
                .filter(it -> it.description().equals("RSocket Discovery Client")).findFirst().orElseThrow();
    }
}
