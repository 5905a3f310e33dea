package jackfield.peer;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * An ordinary application of the SDK that does what it is told: one line of standard input is one command, one line
 * of standard output its answer. Ends with its standard input.
 */
@SpringBootApplication
public class Peer {
    public static void main(String[] args) throws Exception {
        ConfigurableApplicationContext context = SpringApplication.run(Peer.class, args);
        Commands commands = context.getBean(Commands.class);
        System.out.println("ready " + commands.uuid());
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println("= " + commands.answer(line));
        }
        // Without the SDK's farewell, which takes up to 15 seconds.
        Runtime.getRuntime().halt(0);
    }
}
