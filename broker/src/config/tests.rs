use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use tempfile::TempDir;

use crate::chain::{Capability, FailurePolicy, Mode, SlowConfig, Source};

use super::*;

/// A folder with a `jackfield.toml`, and a machine that does not change.
struct Case {
    folder: TempDir,
    surroundings: Surroundings,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("jackfield.toml"), text).unwrap();
        fs::write(folder.path().join("p.wasm"), "").unwrap();
        let home = [("HOME".to_owned(), "/home/op".to_owned())];
        let surroundings = Surroundings {
            current_dir: folder.path().to_owned(),
            variables: BTreeMap::from(home),
            host_name: "edge-7".into(),
            cores: 4,
            file: None,
            settings: Vec::new(),
        };
        Self {
            folder,
            surroundings,
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.surroundings
            .variables
            .insert(name.into(), value.into());
        self
    }

    fn flag(mut self, setting: &str) -> Self {
        self.surroundings
            .settings
            .push(Setting::parse(setting).unwrap());
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(&self.surroundings)
    }

    fn config(&self) -> Config {
        self.load()
            .unwrap_or_else(|problems| panic!("{problems}"))
            .config
    }

    /// Problems with the folder's name left out.
    fn problems(&self) -> String {
        let problems = self.load().expect_err("a problem").to_string();
        problems.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn no_file_means_safe_defaults_on_loopback() {
    let config = Case::new("").config();
    let uris: Vec<String> = config
        .listeners
        .iter()
        .map(|it| it.uri.to_string())
        .collect();
    assert_eq!(
        uris,
        ["tcp://127.0.0.1:9999", "ws://127.0.0.1:9980/rsocket"]
    );
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9998");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9997");
    assert_eq!(config.node.name, "edge-7");
    assert_eq!(config.node.threads, 2);
    assert_eq!(
        config.node.data_dir,
        Path::new("/home/op/.local/state/jackfield")
    );
    assert_eq!(
        config.admin.token_file,
        config.node.data_dir.join("admin.token")
    );
    assert_eq!(config.limits, crate::relay::Limits::default());
    assert_eq!(config.memory, MemoryLimit::Share(50));
    assert_eq!(config.routing, crate::relay::Routing::default());
    assert_eq!(config.routing.timeout, Some(Duration::from_secs(30)));
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    for (text, message) in [
        (
            "[limits]\nframe = 20000000\n",
            "jackfield.toml:2:9: limits.frame is 20000000; write a size from 64 to 16777215",
        ),
        (
            "[limits]\n  outbx = 1\n",
            "jackfield.toml:2:3: unknown key `outbx` in [limits]; did you mean `outbox`?",
        ),
        (
            "[limit]\n",
            "jackfield.toml:1:2: unknown section `limit`; did you mean `limits`?",
        ),
        (
            "[node]\nframe = 1\n",
            "jackfield.toml:2:1: unknown key `frame` in [node]; `frame` belongs in [limits]",
        ),
        (
            "[auth]\ncolour = 1\n",
            "jackfield.toml:2:1: unknown key `colour` in [auth]; \
             known here: required, allow-public-without-auth, per-request, revoked-file, jwt, simple, \
             tls, rule",
        ),
        (
            "[[plugin]]\nname = \"a\"\nfile = \"p.wasm\"\nordr = 1\n",
            "jackfield.toml:4:1: unknown key `ordr` in [[plugin]]; did you mean `order`?",
        ),
        (
            "[limits]\nsetup-timeout = 10\n",
            "jackfield.toml:2:17: limits.setup-timeout is a whole number; \
             write a duration with its unit, such as \"30s\" or \"5ms\"",
        ),
        (
            "[limits]\nstall = \"0s\"\n",
            "jackfield.toml:2:9: limits.stall is zero; write a duration above zero, such as \"30s\"",
        ),
        (
            "[limits]\noutbox = \"4 parsecs\"\n",
            "jackfield.toml:2:10: limits.outbox is `4 parsecs`; \
             write a size such as \"4MiB\", \"512KiB\" or a number of bytes",
        ),
        (
            "[limits]\noutbox = \"65MiB\"\n",
            "jackfield.toml:2:10: limits.outbox is above limits.outbox-hard; \
             raise outbox-hard, or lower outbox",
        ),
        (
            "[limits]\nconnections = 0\n",
            "jackfield.toml:2:15: limits.connections is 0; write a number from 1 to 16777216",
        ),
        (
            "[limits]\nconnections = \"many\"\n",
            "jackfield.toml:2:15: limits.connections is text; write a whole number",
        ),
        (
            "[limits]\nmemory = \"150%\"\n",
            "jackfield.toml:2:10: limits.memory is `150%`; \
             write a share such as \"50%\", or a size such as \"2GiB\"",
        ),
        (
            "[limits]\nmemory = 1000\n",
            "jackfield.toml:2:10: limits.memory is 1000; \
             write at least \"32MiB\", with which nothing but trying out goes",
        ),
        (
            "[auth]\nrequired = true\n",
            "jackfield.toml:2:12: auth.required is true, and there is no way to do it; add keys to \
             [auth.jwt], users-file to [auth.simple], or enabled = true to [auth.tls]",
        ),
        (
            "[auth.jwt]\nkeys = [\"p.wasm\"]\n",
            "jackfield.toml:2:9: auth.jwt.keys names `p.wasm`, which holds no public key; name a file \
             with a PUBLIC KEY in PEM or DER",
        ),
        (
            "[auth.jwt]\njwks-url = \"http://id.example/\"\n",
            "jackfield.toml:2:12: auth.jwt.jwks-url is `http://id.example/`; write an https:// URL; \
             http:// is for loopback only",
        ),
        (
            "[auth.jwt]\nclock-skew = \"6m\"\n",
            "jackfield.toml:2:14: auth.jwt.clock-skew is longer than 5m; set the clocks right instead",
        ),
        (
            "[auth.jwt]\nprofile = \"strikt\"\n",
            "jackfield.toml:2:11: auth.jwt.profile is `strikt`; did you mean `strict`? known: strict, \
             alibaba",
        ),
        (
            "[auth]\nrevoked-file = \"gone\"\n",
            "jackfield.toml:2:16: auth.revoked-file is `gone`, which cannot be read: No such file or \
             directory (os error 2); name a file that the broker's user may read",
        ),
        (
            "[[auth.rule]]\nservice = \"a\"\n",
            "jackfield.toml:1:1: auth.rule.allow is missing, and deny too; add allow = [\"call\"] or \
             deny = [\"call\"]",
        ),
        (
            "[[auth.rule]]\nallow = [\"call\", \"fly\"]\n",
            "jackfield.toml:2:9: auth.rule.allow names no right, or one that does not exist; write \
             \"call\", \"publish\", \"observe\", or several of them",
        ),
        (
            "[[auth.rule]]\nallow = [\"call\"]\ndeny = [\"call\"]\n",
            "jackfield.toml:3:8: auth.rule.deny is set, and allow too; write two rules",
        ),
        (
            "[[listen]]\nuri = \"http://127.0.0.1:9999\"\n",
            "jackfield.toml:2:7: listen.uri `http://127.0.0.1:9999` names an unknown transport; \
             use tcp, tls, ws, wss or unix",
        ),
        (
            "[[listen]]\nuri = \"tcp://me:hunter2@a:1\"\n",
            "jackfield.toml:2:7: listen.uri `tcp://...@a:1` has an unusable host; write a name, an \
             IPv4 address, or an IPv6 address in brackets",
        ),
        (
            "[[listen]]\nuri = \"tcp://\"\n",
            "jackfield.toml:2:7: listen.uri `tcp://` has no host; write tcp://HOST:PORT or \
             ws://HOST:PORT/rsocket",
        ),
        (
            "[[listen]]\nuri = \"tcp://0.0.0.0:9999\"\n",
            "jackfield.toml:2:7: listen.uri binds 0.0.0.0:9999, which others can reach, without \
             authentication; bind 127.0.0.1, or set auth.allow-public-without-auth = true if the \
             network is trusted",
        ),
        (
            "[http]\nlisten = \"0.0.0.0:9998\"\n",
            "jackfield.toml:2:10: http.listen binds 0.0.0.0:9998, which others can reach, without \
             authentication; bind 127.0.0.1, or set auth.allow-public-without-auth = true if the \
             network is trusted",
        ),
        (
            "[[listen]]\nuri = \"tcp://127.0.0.1:1\"\n[[listen]]\nuri = \"ws://127.0.0.1:1\"\n",
            "jackfield.toml:4:7: listen.uri binds 127.0.0.1:1, and so does a listener before it; \
             give each listener a port or a file of its own",
        ),
        (
            "[[listen]]\nadvertise = \"tcp://a:1\"\n",
            "jackfield.toml:1:1: listen.uri is missing; add uri = \"tcp://127.0.0.1:9999\"",
        ),
        (
            "[listen]\nuri = \"\"\n",
            "jackfield.toml:1:2: listen is a list of sections; write each as [[listen]]",
        ),
        (
            "limits = 1\n",
            "jackfield.toml:1:1: limits is a section, not a value; write it as [limits]",
        ),
        (
            "[routing]\nbalance = \"latency\"\n",
            "jackfield.toml:2:11: routing.balance is `latency`; that is not supported by this \
             version, write \"random\", \"round-robin\" or \"least-loaded\"",
        ),
        (
            "[routing]\nbalance = \"randm\"\n",
            "jackfield.toml:2:11: routing.balance is `randm`; did you mean `random`? \
             known: random, round-robin, least-loaded",
        ),
        (
            "[[routing.service]]\ntimeout = \"1s\"\n",
            "jackfield.toml:1:1: routing.service.match is missing; add match = \"com.example.*\"",
        ),
        (
            "[[plugin]]\nname = \"a\"\nfile = \"p.wasm\"\nallow = [\"log\", \"moon\"]\n",
            "jackfield.toml:4:9: plugin.allow names `moon`, which is no capability; write some of \
             \"log\", \"metrics\", \"kv\", \"directory\", \"clock\", \"random\", \"call\", \"http\"",
        ),
        (
            "[[plugin]]\nname = \"a\"\nfile = \"p.wasm\"\nsigned-by = \"ab\"\n",
            "jackfield.toml:4:13: plugin.signed-by is `ab`; \
             write the public key that `minisign -G` prints, which begins with RW",
        ),
        (
            "[[plugin]]\nname = \"a\"\nfile = \"p.wasm\"\nsha256 = \"ab\"\n",
            "jackfield.toml:4:10: plugin.sha256 is `ab`; \
             write the 64 hexadecimal digits that sha256sum prints",
        ),
        (
            "[[plugin]]\nfile = \"p.wasm\"\n",
            "jackfield.toml:1:1: plugin.name is missing; \
             add name = \"...\", it shows in metrics and logs",
        ),
        (
            "[log]\nlevel = \"loud\"\n",
            "jackfield.toml:2:9: log.level is `loud`; write one of error, warn, info, debug, \
             trace, off, or \"info,TARGET=debug\"",
        ),
        (
            "[cluster]\nbrokers = [\"tcp://a:1\", \"b\"]\n",
            "jackfield.toml:2:25: cluster.brokers names no broker; \
             write a URI such as tcp://broker.example:9999",
        ),
    ] {
        let problems = Case::new(text).problems();
        assert_eq!(problems.lines().next(), Some(message), "\n{text}");
    }
}

#[test]
fn memory_is_a_share_or_a_size() {
    for (written, expected) in [
        ("\"50%\"", MemoryLimit::Share(50)),
        ("\" 100 % \"", MemoryLimit::Share(100)),
        ("\"300MiB\"", MemoryLimit::Size(300 << 20)),
        ("536870912", MemoryLimit::Size(512 << 20)),
    ] {
        let config = Case::new(&format!("[limits]\nmemory = {written}\n")).config();
        assert_eq!(config.memory, expected, "{written}");
    }
    assert_eq!(MemoryLimit::Share(50).of(Some(1000)), Some(500));
    assert_eq!(MemoryLimit::Share(50).of(None), None);
    assert_eq!(MemoryLimit::Size(7).of(None), Some(7));
}

#[test]
fn carets_stand_under_the_culprit() {
    let problems = Case::new("[limits]\nframe = 20000000 # big\n").problems();
    let excerpt: Vec<&str> = problems.lines().skip(1).collect();
    assert_eq!(
        excerpt,
        ["  |", "2 | frame = 20000000 # big", "  |         ^^^^^^^^"]
    );
}

#[test]
fn broken_toml_has_a_position_too() {
    for (text, at) in [
        ("[limits\n", "jackfield.toml:1:8: "),
        ("a = 1\na = 2\n", "jackfield.toml:2:1: "),
        ("[node]\nname = \"x\n", "jackfield.toml:2:"),
    ] {
        let problems = Case::new(text).problems();
        assert!(problems.starts_with(at), "{text}: {problems}");
        assert!(problems.contains("; correct the TOML here\n"), "{problems}");
    }
}

#[test]
fn all_problems_are_reported_in_reading_order() {
    let text = "[node]\nthreads = 0\n[limits]\nfram = 1\nstall = 3\n";
    let problems = Case::new(text).problems();
    let places: Vec<&str> = problems
        .lines()
        .filter_map(|line| line.strip_prefix("jackfield.toml:"))
        .filter_map(|rest| rest.split_once(": ").map(|(place, _)| place))
        .collect();
    assert_eq!(places, ["2:11", "4:1", "5:9"]);
}

#[test]
fn two_plugins_of_one_name_are_refused() {
    let plugin = "[[plugin]]\nname = \"a\"\nfile = \"builtin:canary\"\n";
    let problems = Case::new(plugin)
        .file("conf.d/more.toml", plugin)
        .problems();
    let message = "conf.d/more.toml:2:8: plugin.name `a` is the name of two plugins; \
                   give each plugin a name of its own";
    assert_eq!(problems.lines().next(), Some(message));
}

#[test]
fn a_plugin_is_read_in_full() {
    let config = Case::new(
        "[plugins]\nchain-deadline = \"20ms\"\n[[plugin]]\nname = \"canary\"\nfile = \"p.wasm\"\n\
         order = -3\nmatch = [\"a.*\", \"b\"]\non-failure = \"open\"\ndeadline = \"7ms\"\n\
         memory = \"2MiB\"\nallow = [\"log\", \"metrics\"]\nmode = \"off\"\n\
         timeout = \"9s\"\nqueue = 7\ninstances = 3\nhttp-private = true\n\
         http-hosts = [\"Auth.Example\", \"a.b:8080\", \"[::1]:99\", \"[::1]\"]\n\
         sha256 = \"00000000000000000000000000000000000000000000000000000000000000ff\"\n\
         signed-by = \"RWR43Ki4IEZ0XRzJwT4ePNyRYfxo28kWuc+2+WUWuQTOxdY6qbK8H6Sh\"\n\
         [plugin.settings]\npercent = 30\nnested = { list = [1, 2.5, true, \"x\"] }\n",
    );
    let folder = config.folder.path().to_owned();
    let chain = config.config().plugins;
    assert_eq!(chain.deadline, Duration::from_millis(20));
    let plugin = &chain.plugins[0];
    assert_eq!(plugin.name, "canary");
    assert_eq!(plugin.source, Source::File(folder.join("p.wasm")));
    assert_eq!(plugin.order, -3);
    assert_eq!(plugin.matches.len(), 2);
    assert_eq!(plugin.on_failure, Some(FailurePolicy::Open));
    assert_eq!(plugin.deadline, Duration::from_millis(7));
    assert_eq!(plugin.memory, 2 << 20);
    assert_eq!(plugin.allow, [Capability::Log, Capability::Metrics]);
    let slow = SlowConfig {
        timeout: Duration::from_secs(9),
        queue: 7,
        instances: 3,
    };
    assert_eq!(plugin.slow, slow);
    let hosts = [
        ("auth.example", 443),
        ("a.b", 8080),
        ("::1", 99),
        ("::1", 443),
    ];
    let hosts = hosts.map(|(host, port)| (host.to_owned(), port));
    assert_eq!(plugin.outbound.hosts, hosts);
    assert!(plugin.outbound.private);
    assert_eq!(plugin.mode, Mode::Off);
    assert_eq!(plugin.sha256.unwrap()[31], 0xff);
    assert!(plugin.signed_by.as_deref().unwrap().starts_with("RW"));
    let settings = serde_json::json!({"percent": 30, "nested": {"list": [1, 2.5, true, "x"]}});
    assert_eq!(plugin.settings, settings);
}

#[test]
fn a_plugin_has_defaults() {
    let config = Case::new("[[plugin]]\nname = \"c\"\nfile = \"builtin:canary\"\n").config();
    let plugin = &config.plugins.plugins[0];
    assert_eq!(plugin.source, Source::Builtin("canary".into()));
    assert_eq!(plugin.on_failure, None);
    assert_eq!((plugin.order, plugin.memory), (0, 16 << 20));
    assert_eq!(plugin.deadline, Duration::from_millis(5));
    assert!(plugin.matches.is_empty() && plugin.allow.is_empty());
    assert_eq!(plugin.mode, Mode::Live);
    assert_eq!(plugin.settings, serde_json::json!({}));
}

#[test]
fn later_layers_win() {
    let file = "[limits]\nframe = 1000\npending = 1\nstreams = 1\nconnections = 1\n";
    let config = Case::new(file)
        .file("conf.d/20.toml", "[limits]\npending = 3\n")
        .file(
            "conf.d/10.toml",
            "[limits]\npending = 2\nstreams = 2\nconnections = 2\n",
        )
        .file("conf.d/.hidden.toml", "[limits]\npending = 9\n")
        .file("conf.d/note.txt", "not TOML")
        .variable("JACKFIELD_LIMITS__STREAMS", "4")
        .variable("JACKFIELD_LIMITS__CONNECTIONS", "4")
        .flag("limits.connections=5")
        .config();
    let limits = config.limits;
    assert_eq!(limits.frame, 1000);
    assert_eq!(limits.pending, 3);
    assert_eq!(limits.streams, 4);
    assert_eq!(limits.connections, 5);
}

#[test]
fn lists_of_sections_grow_and_plain_lists_are_replaced() {
    let config = Case::new(
        "[[listen]]\nuri = \"tcp://127.0.0.1:1\"\n[cluster]\nbrokers = [\"tcp://a:1\"]\n",
    )
    .file(
        "conf.d/a.toml",
        "[[listen]]\nuri = \"tcp://127.0.0.1:2\"\n[cluster]\nbrokers = [\"tcp://b:1\"]\n",
    )
    .config();
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.cluster.brokers, ["tcp://b:1"]);
}

#[test]
fn variables_set_every_kind_of_value() {
    let config = Case::new("[[plugin]]\nname = \"c\"\nfile = \"builtin:canary\"\n")
        .variable("JACKFIELD_LIMITS__CREDIT_WINDOW", "2MiB")
        .variable("JACKFIELD_LIMITS__SETUP_TIMEOUT", "3s")
        .variable("JACKFIELD_AUTH__ALLOW_PUBLIC_WITHOUT_AUTH", "true")
        .variable("JACKFIELD_LISTEN__0__URI", "tcp://0.0.0.0:7")
        .variable("JACKFIELD_CLUSTER__BROKERS", "tcp://a:1, tcp://b:1")
        .variable("JACKFIELD_PLUGIN__0__SETTINGS__PERCENT", "30")
        .config();
    assert_eq!(config.limits.credit_window, 2 << 20);
    assert_eq!(config.limits.setup_timeout, Duration::from_secs(3));
    assert_eq!(config.listeners[0].uri.to_string(), "tcp://0.0.0.0:7");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.cluster.brokers, ["tcp://a:1", "tcp://b:1"]);
    assert_eq!(
        config.plugins.plugins[0].settings,
        serde_json::json!({"percent": 30})
    );
}

#[test]
fn variables_and_flags_are_named_in_errors() {
    for (case, message) in [
        (
            Case::new("").variable("JACKFIELD_LIMITS__FRAME", "huge"),
            "environment variable JACKFIELD_LIMITS__FRAME: limits.frame is `huge`; \
             write a size such as \"4MiB\", \"512KiB\" or a number of bytes",
        ),
        (
            Case::new("").variable("JACKFIELD_LIMITS__FRAM", "1"),
            "environment variable JACKFIELD_LIMITS__FRAM: there is no setting `limits.fram`; \
             did you mean `limits.frame`?",
        ),
        (
            Case::new("").flag("limits.frame=1"),
            "flag --set limits.frame: limits.frame is 1; write a size from 64 to 16777215",
        ),
        (
            Case::new("").flag("routing.idle-timeout=x"),
            "flag --set routing.idle-timeout: routing.idle-timeout is not supported by this version; \
             leave it out: a stream may pause as long as its connection lives",
        ),
    ] {
        assert_eq!(case.problems(), message);
    }
}

#[test]
fn other_variables_of_our_name_do_not_matter() {
    Case::new("")
        .variable("JACKFIELD_PORT_9999_TCP", "tcp://10.0.0.1:9999")
        .variable("JACKFIELD_SERVICE_HOST", "10.0.0.1")
        .variable("JACKFIELD_ADMIN_TOKEN", "secret")
        .config();
}

#[test]
fn listeners_given_by_flags_stand_alone() {
    let mut case =
        Case::new("[[listen]]\nuri = \"tcp://127.0.0.1:1\"\nadvertise = \"tcp://a:1\"\n");
    case.surroundings
        .settings
        .push(Setting::listener(0, "tcp://127.0.0.1:0"));
    let listeners = case.config().listeners;
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].uri.to_string(), "tcp://127.0.0.1:0");
    assert_eq!(listeners[0].advertise, None);
}

#[test]
fn relative_paths_start_at_the_file_that_names_them() {
    let case = Case::new("[node]\ndata-dir = \"state\"\n")
        .file(
            "conf.d/admin.toml",
            "[admin]\ntoken-file = \"admin.token\"\n",
        )
        .file("conf.d/q.wasm", "")
        .file(
            "conf.d/plugin.toml",
            "[[plugin]]\nname = \"q\"\nfile = \"q.wasm\"\n",
        );
    let folder = case.folder.path();
    let config = case.config();
    assert_eq!(config.node.data_dir, folder.join("state"));
    assert_eq!(config.admin.token_file, folder.join("conf.d/admin.token"));
    assert_eq!(
        config.plugins.plugins[0].source,
        Source::File(folder.join("conf.d/q.wasm"))
    );
    assert_eq!(config.plugins.cache_dir, folder.join("state/cache"));
}

#[test]
fn state_goes_where_the_system_says() {
    for (variables, expected) in [
        (
            vec![("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")],
            "/var/lib/a",
        ),
        (vec![("XDG_STATE_HOME", "/x")], "/x/jackfield"),
        (vec![], "/home/op/.local/state/jackfield"),
    ] {
        let case = variables.iter().fold(Case::new(""), |case, (name, value)| {
            case.variable(name, value)
        });
        assert_eq!(case.config().node.data_dir, Path::new(expected));
    }
    let mut homeless = Case::new("");
    homeless.surroundings.variables.clear();
    assert!(
        homeless
            .problems()
            .starts_with("node.data-dir: has no default here: ")
    );
}

#[test]
fn a_named_file_must_exist() {
    let mut case = Case::new("");
    case.surroundings.file = Some("other.toml".into());
    let problems = case.problems();
    assert!(
        problems.starts_with("other.toml: cannot be read: "),
        "{problems}"
    );
}

#[test]
fn auth_is_read_in_full() {
    let text = "[auth]\nrequired = true\nrevoked-file = \"empty\"\n[auth.jwt]\nprofile = \"alibaba\"\n\
                issuer = \"me\"\nkeys = [\"key.pub\"]\n[auth.simple]\nusers-file = \"empty\"\n\
                [[auth.rule]]\ndeny = [\"call\", \"publish\"]\nservice = [\"a.*\", \"b\"]\nmethod = \"c\"\n\
                role = [\"r\"]\nauthority = \"w\"\nsubject = \"s\"\n[[listen]]\nuri = \"tcp://0.0.0.0:1\"\n";
    let case = with_auth_files(Case::new(text));
    let (folder, config) = (case.folder.path().to_owned(), case.config());
    let auth = config.auth;
    assert!(auth.required && !auth.per_request);
    assert_eq!(auth.revoked, Some(folder.join("empty")));
    assert_eq!(auth.users, Some(folder.join("empty")));
    let jwt = auth.jwt.unwrap();
    assert_eq!(jwt.profile, crate::identity::Profile::Alibaba);
    assert_eq!(jwt.issuer, "me");
    assert!(
        jwt.audience.is_empty(),
        "the alibaba profile does not look at it"
    );
    assert_eq!(jwt.keys, [folder.join("key.pub")]);
    let rule = &auth.rules[0];
    assert_eq!(rule.effect, crate::identity::Effect::Deny);
    assert_eq!((rule.rights.len(), rule.services.len()), (2, 2));
    assert_eq!(rule.roles, ["r"]);
    assert_eq!(rule.authorities, ["w"]);
    // Who is asked for credentials may listen to everybody; HTTP asks for none.
    let text = text.replace(
        "[[listen]]\nuri = \"tcp",
        "[http]\nlisten = \"0.0.0.0:1\"\n[[listen]]\nuri = \"tcp",
    );
    let problems = with_auth_files(Case::new(&text)).problems();
    assert!(
        problems.contains("http.listen binds 0.0.0.0:1"),
        "{problems}"
    );
    assert!(!problems.contains("listen.uri binds"), "{problems}");
}

#[test]
fn public_listeners_need_leave() {
    let text = "[auth]\nallow-public-without-auth = true\n[http]\nlisten = \"0.0.0.0:9998\"\n";
    assert!(!Case::new(text).config().http.listen.is_loopback());
}

#[test]
fn an_admin_face_that_others_reach_is_advised_against() {
    let loaded = Case::new("[admin]\nlisten = \"0.0.0.0:9997\"\n").load();
    let advice = loaded.unwrap().advice.to_string();
    assert!(
        advice.contains("jackfield.toml:2:10: admin.listen binds 0.0.0.0:9997: "),
        "{advice}"
    );
    assert!(advice.contains("; bind 127.0.0.1 and come by a tunnel"));
    for text in ["", "[admin]\nlisten = \"[::1]:9997\"\n"] {
        assert!(Case::new(text).load().unwrap().advice.is_empty());
    }
}

/// A value other than the default for every key: a key that is listed but not read would change nothing.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("node.name", "[node]\nname = \"x\""),
    ("node.threads", "[node]\nthreads = 3"),
    ("node.data-dir", "[node]\ndata-dir = \"/x\""),
    ("log.level", "[log]\nlevel = \"debug\""),
    ("log.format", "[log]\nformat = \"json\""),
    ("listen[].uri", "[[listen]]\nuri = \"tcp://127.0.0.1:1\""),
    (
        "listen[].advertise",
        "[[listen]]\nuri = \"tcp://127.0.0.1:9999\"\nadvertise = \"tcp://a:1\"\n[[listen]]\nuri = \"ws://127.0.0.1:9980\"",
    ),
    (
        "listen[].advertise-internet",
        "[[listen]]\nuri = \"tcp://127.0.0.1:9999\"\nadvertise-internet = \"tcp://a:1\"\n[[listen]]\nuri = \"ws://127.0.0.1:9980\"",
    ),
    (
        "listen[].mode",
        "[[listen]]\nuri = \"unix:/run/x\"\nmode = \"0660\"",
    ),
    (
        "listen[].scrape-only",
        "[[listen]]\nuri = \"tcp://127.0.0.1:1\"\nscrape-only = \"micrometer\"",
    ),
    ("socket.nodelay", "[socket]\nnodelay = false"),
    ("socket.user-timeout", "[socket]\nuser-timeout = \"2s\""),
    ("socket.keepalive-idle", "[socket]\nkeepalive-idle = \"2s\""),
    (
        "socket.keepalive-interval",
        "[socket]\nkeepalive-interval = \"2s\"",
    ),
    ("socket.keepalive-count", "[socket]\nkeepalive-count = 2"),
    ("socket.backlog", "[socket]\nbacklog = 2"),
    ("socket.send-buffer", "[socket]\nsend-buffer = 65536"),
    ("socket.receive-buffer", "[socket]\nreceive-buffer = 65536"),
    ("socket.unsent", "[socket]\nunsent = \"16KiB\""),
    ("http.listen", "[http]\nlisten = \"127.0.0.1:1\""),
    ("http.hosts", "[http]\nhosts = [\"a\"]"),
    ("http.message", "[http]\nmessage = \"1MiB\""),
    ("http.memory", "[http]\nmemory = \"8MiB\""),
    ("http.concurrency", "[http]\nconcurrency = 2"),
    ("http.timeout", "[http]\ntimeout = \"1s\""),
    ("http.callers", "[http]\ncallers = 2"),
    ("admin.audit-file", "[admin]\naudit-file = \"/x\""),
    (
        "admin.token[].name",
        "[[admin.token]]\nname = \"a\"\nroles = [\"read\"]",
    ),
    (
        "admin.token[].file",
        "[[admin.token]]\nname = \"a\"\nfile = \"/x\"\nroles = [\"read\"]",
    ),
    (
        "admin.token[].roles",
        "[[admin.token]]\nname = \"a\"\nroles = [\"operate\"]",
    ),
    ("admin.listen", "[admin]\nlisten = \"10.0.0.1:1\""),
    ("admin.token-file", "[admin]\ntoken-file = \"/x\""),
    ("admin.hosts", "[admin]\nhosts = [\"a\"]"),
    ("limits.memory", "[limits]\nmemory = \"1GiB\""),
    ("limits.connections", "[limits]\nconnections = 1"),
    ("limits.frame", "[limits]\nframe = 100"),
    ("limits.outbox", "[limits]\noutbox = \"1MiB\""),
    ("limits.outbox-hard", "[limits]\noutbox-hard = \"5MiB\""),
    ("limits.credit-window", "[limits]\ncredit-window = \"2MiB\""),
    ("limits.message", "[limits]\nmessage = \"1MiB\""),
    (
        "limits.assembly-timeout",
        "[limits]\nassembly-timeout = \"1s\"",
    ),
    ("limits.metadata", "[limits]\nmetadata = \"1KiB\""),
    (
        "limits.metadata-fragments",
        "[limits]\nmetadata-fragments = 1",
    ),
    (
        "limits.metadata-timeout",
        "[limits]\nmetadata-timeout = \"1s\"",
    ),
    ("limits.pause", "[limits]\npause = \"1s\""),
    ("limits.pending", "[limits]\npending = 1"),
    (
        "limits.pending-per-address",
        "[limits]\npending-per-address = 1",
    ),
    ("limits.setup-timeout", "[limits]\nsetup-timeout = \"1s\""),
    ("limits.stall", "[limits]\nstall = \"1s\""),
    ("limits.streams", "[limits]\nstreams = 1"),
    ("limits.fire-and-forget", "[limits]\nfire-and-forget = 1"),
    ("limits.held-requests", "[limits]\nheld-requests = 1"),
    ("limits.held-bytes", "[limits]\nheld-bytes = 4096"),
    ("limits.held-time", "[limits]\nheld-time = \"1s\""),
    ("limits.resume-window", "[limits]\nresume-window = \"1s\""),
    ("limits.resume-bytes", "[limits]\nresume-bytes = 4096"),
    ("limits.parked-sessions", "[limits]\nparked-sessions = 0"),
    ("limits.parked-bytes", "[limits]\nparked-bytes = 4096"),
    ("lease.requests", "[lease]\nrequests = 7"),
    ("lease.ttl", "[lease]\nttl = \"1s\""),
    (
        "auth.required",
        "[auth]\nrequired = true\n[auth.tls]\nenabled = true",
    ),
    ("auth.per-request", "[auth]\nper-request = true"),
    ("auth.revoked-file", "[auth]\nrevoked-file = \"empty\""),
    ("auth.jwt.keys", "[auth.jwt]\nkeys = [\"key.pub\"]"),
    (
        "auth.jwt.profile",
        "[auth.jwt]\nkeys = [\"key.pub\"]\nprofile = \"alibaba\"",
    ),
    (
        "auth.jwt.issuer",
        "[auth.jwt]\nkeys = [\"key.pub\"]\nissuer = \"me\"",
    ),
    (
        "auth.jwt.audience",
        "[auth.jwt]\nkeys = [\"key.pub\"]\naudience = [\"me\"]",
    ),
    (
        "auth.jwt.clock-skew",
        "[auth.jwt]\nkeys = [\"key.pub\"]\nclock-skew = \"1s\"",
    ),
    ("auth.jwt.jwks-file", "[auth.jwt]\njwks-file = \"set.json\""),
    (
        "auth.jwt.jwks-url",
        "[auth.jwt]\njwks-url = \"https://id.example/\"",
    ),
    (
        "auth.jwt.jwks-ca",
        "[auth.jwt]\njwks-url = \"https://id.example/\"\njwks-ca = \"key.pub\"",
    ),
    (
        "auth.jwt.jwks-refresh",
        "[auth.jwt]\njwks-url = \"https://id.example/\"\njwks-refresh = \"1m\"",
    ),
    (
        "auth.simple.users-file",
        "[auth.simple]\nusers-file = \"empty\"",
    ),
    ("auth.tls.enabled", "[auth.tls]\nenabled = true"),
    (
        "auth.tls.organisations",
        "[auth.tls]\nenabled = true\norganisations = [\"1\"]",
    ),
    (
        "auth.tls.service-accounts",
        "[auth.tls]\nenabled = true\nservice-accounts = [\"a\"]",
    ),
    (
        "auth.tls.roles",
        "[auth.tls]\nenabled = true\nroles = [\"a\"]",
    ),
    (
        "auth.tls.authorities",
        "[auth.tls]\nenabled = true\nauthorities = [\"a\"]",
    ),
    ("auth.rule[].allow", "[[auth.rule]]\nallow = [\"call\"]"),
    ("auth.rule[].deny", "[[auth.rule]]\ndeny = [\"call\"]"),
    (
        "auth.rule[].service",
        "[[auth.rule]]\nallow = [\"observe\"]\nservice = \"a\"",
    ),
    (
        "auth.rule[].method",
        "[[auth.rule]]\nallow = [\"call\"]\nmethod = \"a\"",
    ),
    (
        "auth.rule[].subject",
        "[[auth.rule]]\nallow = [\"call\"]\nsubject = \"a\"",
    ),
    (
        "auth.rule[].role",
        "[[auth.rule]]\nallow = [\"call\"]\nrole = \"a\"",
    ),
    (
        "auth.rule[].authority",
        "[[auth.rule]]\nallow = [\"call\"]\nauthority = \"a\"",
    ),
    ("auth.allow-public-without-auth", ""),
    (
        "cluster.brokers-internet",
        "[cluster]\nbrokers-internet = [\"tcp://a:1\"]",
    ),
    ("routing.sticky", "[routing]\nsticky = \"1s\""),
    ("cluster.brokers", "[cluster]\nbrokers = [\"tcp://a:1\"]"),
    ("metrics.calls", "[metrics]\ncalls = false"),
    ("metrics.routes", "[metrics]\nroutes = [\"a.b\"]"),
    ("metrics.timeout", "[metrics]\ntimeout = \"1s\""),
    ("metrics.cache", "[metrics]\ncache = \"2s\""),
    ("metrics.cache-bytes", "[metrics]\ncache-bytes = \"1MiB\""),
    ("metrics.concurrency", "[metrics]\nconcurrency = 1"),
    ("metrics.page-bytes", "[metrics]\npage-bytes = \"1MiB\""),
    ("metrics.line-bytes", "[metrics]\nline-bytes = \"1KiB\""),
    ("metrics.series", "[metrics]\nseries = 1"),
    ("metrics.families", "[metrics]\nfamilies = 1"),
    ("metrics.labels", "[metrics]\nlabels = 1"),
    ("metrics.timestamps", "[metrics]\ntimestamps = true"),
    ("metrics.merged", "[metrics]\nmerged = true"),
    ("metrics.merged-bytes", "[metrics]\nmerged-bytes = \"1MiB\""),
    ("metrics.last", "[metrics]\nlast = \"1m\""),
    ("metrics.last-bytes", "[metrics]\nlast-bytes = \"1MiB\""),
    ("metrics.advertise", "[metrics]\nadvertise = \"a:1\""),
    ("routing.balance", "[routing]\nbalance = \"random\""),
    ("routing.timeout", "[routing]\ntimeout = \"1s\""),
    (
        "routing.service[].match",
        "[[routing.service]]\nmatch = \"a\"",
    ),
    (
        "routing.service[].timeout",
        "[[routing.service]]\nmatch = \"b\"\ntimeout = \"1s\"",
    ),
    (
        "routing.service[].balance",
        "[[routing.service]]\nmatch = \"c\"\nbalance = \"random\"",
    ),
    (
        "plugins.chain-deadline",
        "[plugins]\nchain-deadline = \"1s\"",
    ),
    ("plugins.chaos", "[plugins]\nchaos = false"),
];

/// The files that cases of `[auth]` name.
fn with_auth_files(case: Case) -> Case {
    let key = crate::identity::new_key().unwrap();
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    case.file("key.pub", &key.public)
        .file("set.json", set)
        .file("empty", "")
}

#[test]
fn every_key_is_read() {
    let show = |text: &str| {
        let case = with_auth_files(Case::new(text));
        format!("{:?}", case.config()).replace(&*case.folder.path().to_string_lossy(), "")
    };
    let default = show("");
    for key in KEYS.iter().filter(|key| key.support == Support::Now) {
        if key.path.starts_with("plugin[]") {
            continue; // a_plugin_is_read_in_full
        }
        if key.path.starts_with("listen[].tls.") {
            continue; // listeners/tests.rs, which makes certificates
        }
        let other = OTHER_VALUES.iter().find(|(path, _)| *path == key.path);
        let (_, text) = other.unwrap_or_else(|| panic!("{} has no case here", key.path));
        if !text.is_empty() {
            assert_ne!(show(text), default, "{} changes nothing", key.path);
        }
    }
}

#[test]
fn every_later_key_is_refused_by_name() {
    for key in KEYS {
        let Support::Later(todo) = key.support else {
            continue;
        };
        let (section, name) = key.path.rsplit_once('.').unwrap();
        let header = match section.strip_suffix("[]") {
            Some(list) => format!("[[{list}]]"),
            None => format!("[{section}]"),
        };
        let problems = Case::new(&format!("{header}\n{name} = \"1\"\n")).problems();
        let expected = format!("is not supported by this version; {todo}");
        assert!(problems.contains(&expected), "{}: {problems}", key.path);
    }
}

#[test]
fn the_defaults_in_the_table_are_the_defaults() {
    let mut text = String::new();
    let plain = |key: &&Key| !key.path.contains("[]") && !key.default.is_empty();
    for key in KEYS.iter().filter(plain) {
        text.push_str(&format!("{} = {}\n", key.path, key.default));
    }
    assert!(text.contains("limits.outbox = \"4MiB\"\n"));
    let written = format!("{:?}", Case::new(&text).config());
    assert_eq!(written, format!("{:?}", Case::new("").config()));
    let plugin = "[[plugin]]\nname = \"a\"\nfile = \"builtin:a\"\n";
    let mut written = plugin.to_owned();
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        if let Some(name) = key.path.strip_prefix("plugin[].") {
            written.push_str(&format!("{name} = {}\n", key.default));
        }
    }
    let mut with_defaults = Case::new(&written).config().plugins.plugins.remove(0);
    assert_eq!(
        with_defaults.matches.len(),
        1,
        "\"*\" is every service, like none"
    );
    with_defaults.matches.clear();
    assert_eq!(with_defaults, Case::new(plugin).config().plugins.plugins[0]);
}

#[test]
fn settings_show_their_origin_and_no_secret() {
    let case = Case::new(
        "[limits]\nframe = 1000\n[[plugin]]\nname = \"a\"\nfile = \"builtin:a\"\n\
         settings = { api-token = \"hunter2\", percent = 3 }\n",
    )
    .variable("JACKFIELD_ROUTING__TIMEOUT", "2s");
    let loaded = case.load().unwrap();
    let find = |key: &str| {
        loaded
            .settings
            .iter()
            .find(|shown| shown.key == key)
            .unwrap()
    };
    assert_eq!(find("limits.frame").value, "1000");
    assert!(find("limits.frame").origin.ends_with("jackfield.toml:2:9"));
    assert_eq!(
        find("routing.timeout").origin,
        "environment variable JACKFIELD_ROUTING__TIMEOUT"
    );
    assert_eq!(find("limits.outbox").origin, "default");
    assert_eq!(
        find("listen.1.uri").value,
        "\"ws://127.0.0.1:9980/rsocket\""
    );
    assert_eq!(find("plugin.0.settings.percent").value, "3");
    assert!(!format!("{:?}", loaded.settings).contains("hunter2"));
    let keys: Vec<&str> = loaded
        .settings
        .iter()
        .map(|shown| shown.key.as_str())
        .collect();
    assert_eq!(keys[..3], ["node.name", "node.threads", "node.data-dir"]);
}

#[test]
fn a_reload_names_what_needs_a_restart() {
    let old = Case::new("[routing]\ntimeout = \"1s\"\n").load().unwrap();
    let text = "[routing]\ntimeout = \"2s\"\n[limits]\nframe = 1000\n[[plugin]]\nname = \"a\"\n\
                file = \"builtin:a\"\nsettings = { percent = 1 }\n[[listen]]\nuri = \"tcp://127.0.0.1:1\"\n";
    let new = Case::new(text).load().unwrap();
    assert_eq!(
        old.need_restart(&new),
        ["limits.frame", "listen.0.uri", "listen.1.uri"]
    );
    assert!(old.need_restart(&old).is_empty());
    let kept = new.clone().keep_until_restart(&old);
    assert_eq!(kept.config.limits, old.config.limits);
    assert_eq!(kept.config.listeners, old.config.listeners);
    assert_eq!(kept.config.routing, new.config.routing);
    assert_eq!(kept.config.plugins.plugins, new.config.plugins.plugins);
    let value = |key: &str| {
        let shown = kept.settings.iter().find(|shown| shown.key == key);
        shown.map(|shown| shown.value.as_str())
    };
    assert_eq!(
        value("limits.frame"),
        Some("16777215"),
        "in effect until the restart"
    );
    assert_eq!(value("routing.timeout"), Some("\"2s\""));
}

const WHOLE: &str = "[limits]\nframe = 1000\noutbox = \"1MiB\"\n[[listen]]\nuri = \"tcp://[::1]:1\"\n\
                     [[plugin]]\nname = \"é\"\nsettings = { a = [1, {}] }\nmatch = [\"*\"]\n[routing]\n\
                     timeout = \"1.5s\"\n[[routing.service]]\nmatch = \"a\"\n";

proptest::proptest! {
    /// Whatever a file holds, loading it ends with a configuration or with problems that can be shown.
    #[test]
    fn nothing_in_a_file_panics(text in ".*", at in 0..WHOLE.len(), cut in 0..9_usize) {
        let broken: String = WHOLE.chars().take(at).chain(text.chars()).chain(WHOLE.chars().skip(at + cut)).collect();
        for text in [text, broken] {
            if let Err(problems) = Case::new(&text).load() {
                proptest::prop_assert!(!problems.to_string().is_empty());
            }
        }
    }
}
