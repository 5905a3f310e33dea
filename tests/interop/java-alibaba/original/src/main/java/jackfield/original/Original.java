package jackfield.original;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Nothing but the archived broker's engine; its properties come from the command line. */
@SpringBootApplication
public class Original {
    public static void main(String[] args) {
        SpringApplication.run(Original.class, args);
        System.out.println("ready original");
    }
}
