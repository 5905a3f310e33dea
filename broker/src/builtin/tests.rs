//! The services over a real relay, with callers of several kinds.

use std::sync::{Arc, Mutex};

use jackfield_rsocket::{
    endpoint::{CallError, ConnectOptions, Message, Requester, Responder},
    metadata::{AppMetadata, CompositeBuilder, Mime, encode_mime_type, encode_tags},
};
use serde_json::{Value, json};

use super::{Builtin, Parts, interfaces};
use crate::{
    cluster::{Brokers, Lists},
    directory::ServicePattern,
    identity::{self, Effect, Right, Rule, realm::Realm},
    relay::{Listening, rooms::Rooms},
};

struct World {
    rooms: Rooms,
    listening: Listening,
    _builtin: Builtin,
}

impl World {
    async fn new(auth: identity::Config, lists: Lists) -> Self {
        let rooms = Rooms::new(auth);
        let brokers = Arc::new(Brokers::new(lists));
        let builtin = Builtin::start(Parts {
            node: "test".into(),
            relay: rooms.relay.clone(),
            directory: rooms.directory.clone(),
            identity: rooms.identity.clone(),
            brokers: brokers.clone(),
        });
        let builtin = builtin.await.unwrap();
        let listening = rooms.listen().await;
        brokers.listens(vec![listening.uri().to_string()]);
        Self {
            rooms,
            listening,
            _builtin: builtin,
        }
    }

    async fn plain() -> Self {
        Self::new(identity::Config::default(), Lists::default()).await
    }

    async fn connect(&self, options: ConnectOptions) -> Requester {
        self.rooms.join(self.listening.uri(), options).await
    }

    async fn anonymous(&self) -> Requester {
        self.connect(ConnectOptions::new()).await
    }

    async fn app(&self, uuid: &str, name: &str, services: &[&str], push: Pushed) -> Requester {
        let mut app = AppMetadata::named(name);
        app.uuid = Some(uuid.into());
        app.ip = Some("10.0.0.7".into());
        app.sdk = Some("Alibaba-RSocket-1.1.6/1.0.0".into());
        app.brokers = vec!["tcp://b:1".into()];
        app.rsocket_ports.insert("42252".into(), "tcp".into());
        let mut options = ConnectOptions::new();
        options.app = Some(app);
        for service in services {
            options = options.publish(service).unwrap();
        }
        let heard = Responder::new().metadata_push(move |metadata| {
            let text = String::from_utf8(metadata.to_vec()).unwrap();
            push.0.lock().unwrap().push(text);
        });
        self.connect(options.serve(heard)).await
    }
}

/// What was pushed to an application.
#[derive(Clone, Default)]
struct Pushed(Arc<Mutex<Vec<String>>>);

impl Pushed {
    async fn wait(&self, count: usize) -> Vec<String> {
        while self.0.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
        self.0.lock().unwrap().clone()
    }
}

fn request(service: &str, method: &str, encoding: Mime, data: Vec<u8>) -> Message {
    let metadata = CompositeBuilder::new()
        .try_push(
            Mime::ROUTING,
            encode_tags([&*format!("{service}.{method}")]),
        )
        .try_push(Mime::MIME_TYPE, encode_mime_type(encoding))
        .finish();
    Message::new(data).with_metadata(metadata.unwrap())
}

async fn call(
    caller: &Requester,
    service: &str,
    method: &str,
    arguments: Value,
) -> Result<Value, CallError> {
    let data = arguments.to_string().into_bytes();
    let request = request(service, method, Mime::JSON, data);
    let reply = caller.request_response(request).await?;
    Ok(serde_json::from_slice(&reply.data).unwrap())
}

async fn told(caller: &Requester, service: &str, method: &str, arguments: Value) -> Value {
    call(caller, service, method, arguments).await.unwrap()
}

async fn refused(caller: &Requester, service: &str, method: &str, arguments: Value) -> String {
    match call(caller, service, method, arguments).await {
        Err(CallError::Failed(failure)) => failure.text,
        other => panic!("{other:?}"),
    }
}

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const TWO: &str = "22222222-2222-2222-2222-222222222222";

#[tokio::test]
async fn health_and_discovery_tell_what_is_there() {
    let world = World::plain().await;
    let one = world
        .app(
            ONE,
            "Orders",
            &["shop.Orders", "g!shop.Stock:1"],
            Pushed::default(),
        )
        .await;
    let caller = world.anonymous().await;
    for (arguments, status) in [
        (json!([]), 1),
        (json!([""]), 1),
        (json!(["shop.Orders"]), 1),
        (json!(["shop.Stock"]), 1),
        (json!("g!shop.Stock:1"), 1),
        (json!(["shop.Nothing"]), -1),
    ] {
        let told = told(&caller, interfaces::HEALTH, "check", arguments.clone()).await;
        assert_eq!(told, status, "{arguments}");
    }
    let services = told(&caller, interfaces::DISCOVERY, "getAllServices", json!([])).await;
    assert_eq!(services, json!(["g!shop.Stock:1", "shop.Orders"]));
    let instance = json!({
        "instanceId": ONE, "serviceId": "Orders", "host": "10.0.0.7", "port": 42252, "schema": "tcp",
        "uri": "tcp://10.0.0.7:42252", "secure": false,
        "metadata": {"_ip": "10.0.0.7", "_remote": "127.0.0.1"},
    });
    for name in ["shop.Orders", "g!shop.Stock:1", "orders", "ORDERS"] {
        let told = told(
            &caller,
            interfaces::DISCOVERY,
            "getInstances",
            json!([name]),
        )
        .await;
        assert_eq!(told, json!([instance]), "{name}");
    }
    let told_of = |name: &'static str| {
        told(
            &caller,
            interfaces::DISCOVERY,
            "getInstances",
            json!([name]),
        )
    };
    assert_eq!(told_of("nobody").await, json!([]));
    assert_eq!(
        told_of(interfaces::HEALTH).await,
        json!([]),
        "the broker is no application"
    );
    assert_eq!(
        told(&caller, interfaces::DISCOVERY, "getInstance", json!([ONE])).await,
        instance
    );
    assert_eq!(
        told(&caller, interfaces::DISCOVERY, "getInstance", json!([TWO])).await,
        Value::Null
    );
    // Without anything configured: to an application the brokers that it knows; to others where this one listens.
    let uris = |told: Value| told[0]["uri"].clone();
    assert_eq!(uris(told_of("*").await), world.listening.uri().to_string());
    let told_one = told(&one, interfaces::DISCOVERY, "getInstances", json!(["*"])).await;
    assert_eq!(uris(told_one), "tcp://b:1");
    let description = told(
        &caller,
        interfaces::INTROSPECTION,
        "findServiceByFullName",
        json!([interfaces::HEALTH]),
    )
    .await;
    assert_eq!(description["operations"][0]["name"], "check");
    assert_eq!(
        description["operations"][0]["parameters"][0]["type"],
        "java.lang.String"
    );
}

#[tokio::test]
async fn java_callers_are_answered_in_hessian() {
    let world = World::plain().await;
    let caller = world.anonymous().await;
    let check = |data: &[u8]| request(interfaces::HEALTH, "check", Mime::HESSIAN, data.to_vec());
    // The library's own probe has no data, and looks at the first byte.
    let reply = caller.request_response(check(b"")).await.unwrap();
    assert_eq!(reply.data, &b"\x91"[..]);
    assert_eq!(reply.metadata.unwrap(), &b"\xFA\x00\x00\x01\xA6"[..]);
    let reply = caller
        .request_response(check(b"\x71\x07[object\x01x"))
        .await
        .unwrap();
    assert_eq!(reply.data, &b"\x8F"[..]);
    let stars = request(
        interfaces::DISCOVERY,
        "getInstances",
        Mime::HESSIAN,
        b"\x71\x07[object\x01*".to_vec(),
    );
    let reply = caller.request_response(stars).await.unwrap();
    let class = b"\x79C\x30\x34com.alibaba.rsocket.discovery.RSocketServiceInstance\x98";
    assert!(reply.data.starts_with(class), "{:?}", reply.data);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::plain().await;
    let caller = world.anonymous().await;
    for (method, arguments, text) in [
        (
            "getInstances",
            json!([]),
            "RST-900500: the name of a service is missing",
        ),
        (
            "getInstances",
            json!([1]),
            "RST-900500: the name of a service is missing",
        ),
        ("nothing", json!([]), "RST-201404: the broker has no"),
        (
            "getInstance",
            json!([null]),
            "RST-900500: a uuid is missing",
        ),
    ] {
        let said = refused(&caller, interfaces::DISCOVERY, method, arguments).await;
        assert!(said.starts_with(text), "{said}");
    }
    for (event, text) in [
        ("no event".to_owned(), "RST-900500: event: "),
        (
            event("com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent"),
            "RST-900401: only a broker",
        ),
        (
            event("com.alibaba.rsocket.upstream.ServiceInstancesChangedEvent"),
            "RST-900401: only a broker",
        ),
        ("x".repeat(300_000), "RST-900500: event: it is too long"),
    ] {
        let said = refused(&caller, interfaces::NOTIFY, "notify", json!([ONE, event])).await;
        assert!(said.starts_with(text), "{said}");
    }
}

fn event(kind: &str) -> String {
    json!({"specversion": "1.0", "id": "1", "type": kind, "source": "app://me", "data": {}})
        .to_string()
}

#[tokio::test]
async fn events_are_passed_on() {
    let world = World::plain().await;
    let (one, two) = (Pushed::default(), Pushed::default());
    let _one = world
        .app(ONE, "orders", &["shop.Orders"], one.clone())
        .await;
    let _two = world.app(TWO, "orders", &[], two.clone()).await;
    let caller = world.anonymous().await;
    let (first, second) = (event("shop.First"), event("shop.Second"));
    assert_eq!(
        told(&caller, interfaces::NOTIFY, "notify", json!([ONE, first])).await,
        Value::Null
    );
    assert_eq!(one.wait(1).await, std::slice::from_ref(&first));
    // By fire-and-forget, as the library sends it.
    let arguments = json!(["orders", second]).to_string().into_bytes();
    let request = request(interfaces::NOTIFY, "notifyAll", Mime::JSON, arguments);
    caller.fire_and_forget(request).await.unwrap();
    assert_eq!(one.wait(2).await, [first, second.clone()]);
    assert_eq!(two.wait(1).await, [second]);
    told(
        &caller,
        interfaces::NOTIFY,
        "notify",
        json!(["nobody", event("x")]),
    )
    .await;
}

/// The right to observe decides who is told of what; nobody publishes what the broker answers.
#[tokio::test]
async fn rules_hold_for_the_brokers_own_services() {
    let deny = |right, service: &str| Rule {
        effect: Effect::Deny,
        rights: vec![right],
        services: vec![ServicePattern::new(service)],
        methods: vec![],
        subjects: vec![],
        roles: vec![],
        authorities: vec![],
    };
    let auth = identity::Config {
        rules: vec![
            deny(Right::Observe, "secret.*"),
            deny(Right::Call, interfaces::NOTIFY),
        ],
        ..identity::Config::default()
    };
    let world = World::new(auth, Lists::default()).await;
    let thief = ["secret.Service", interfaces::HEALTH];
    let _one = world.app(ONE, "hidden", &thief, Pushed::default()).await;
    let caller = world.anonymous().await;
    assert_eq!(
        told(&caller, interfaces::DISCOVERY, "getAllServices", json!([])).await,
        json!([])
    );
    let instances = told(
        &caller,
        interfaces::DISCOVERY,
        "getInstances",
        json!(["secret.Service"]),
    );
    assert_eq!(instances.await, json!([]));
    assert_eq!(
        told(&caller, interfaces::DISCOVERY, "getInstance", json!([ONE])).await,
        Value::Null
    );
    assert_eq!(
        told(
            &caller,
            interfaces::HEALTH,
            "check",
            json!(["secret.Service"])
        )
        .await,
        -1
    );
    assert_eq!(
        told(&caller, interfaces::HEALTH, "check", json!([])).await,
        1
    );
    let said = refused(
        &caller,
        interfaces::NOTIFY,
        "notify",
        json!([ONE, event("x")]),
    )
    .await;
    assert!(said.starts_with("RST-900401"), "{said}");
}

/// Who may ask which of them what, by role: rules about the broker's own services are rules like any other.
#[tokio::test]
async fn the_right_to_call_them_is_given_by_role() {
    let rule = |effect, service: &str, method: &str, role: &str| Rule {
        effect,
        rights: vec![Right::Call],
        services: vec![ServicePattern::new(service)],
        methods: vec![ServicePattern::new(method)],
        subjects: vec![],
        roles: vec![role.into()],
        authorities: vec![],
    };
    let mut realm = Realm::new();
    realm.config.rules = vec![
        rule(Effect::Allow, interfaces::HEALTH, "*", "watcher"),
        rule(Effect::Deny, interfaces::DISCOVERY, "getAll*", "watcher"),
        rule(Effect::Allow, interfaces::NOTIFY, "notify", "teller"),
    ];
    let world = World::new(realm.config.clone(), Lists::default()).await;
    let who = async |roles: &[&str]| {
        let token = realm.in_roles("app", "1", roles);
        world.connect(ConnectOptions::new().bearer(token)).await
    };
    let (watcher, teller, plain) = (
        who(&["watcher"]).await,
        who(&["teller"]).await,
        who(&[]).await,
    );
    let told_by =
        |method: &'static str, to: &str| (interfaces::NOTIFY, method, json!([to, event("x")]));
    for ((service, method, arguments), may) in [
        (
            (interfaces::HEALTH, "check", json!([])),
            [true, false, false],
        ),
        (
            (interfaces::DISCOVERY, "getAllServices", json!([])),
            [false, true, true],
        ),
        (
            (interfaces::DISCOVERY, "getInstances", json!(["*"])),
            [true, true, true],
        ),
        (
            (interfaces::DISCOVERY, "findAppInstances", json!(["1"])),
            [true, true, true],
        ),
        (told_by("notify", ONE), [false, true, false]),
        // A rule that allows one method says nothing of the others.
        (told_by("notifyAll", "orders"), [true, true, true]),
        (
            (
                interfaces::INTROSPECTION,
                "findServiceByFullName",
                json!([interfaces::HEALTH]),
            ),
            [true, true, true],
        ),
    ] {
        for (caller, may) in [&watcher, &teller, &plain].into_iter().zip(may) {
            let answer = call(caller, service, method, arguments.clone()).await;
            match answer {
                Ok(_) => assert!(may, "{service}.{method}"),
                Err(CallError::Failed(failure)) => {
                    assert!(!may, "{service}.{method}: {failure}");
                    assert!(failure.text.starts_with("RST-900401: "), "{failure}");
                }
                Err(other) => panic!("{service}.{method}: {other}"),
            }
        }
    }
}

/// The lists of the configuration, for each network.
#[tokio::test]
async fn the_brokers_are_those_of_the_configuration() {
    let lists = Lists {
        inside: vec!["tcp://b1:9999".into(), "wss://b2/rsocket".into()],
        ..Lists::default()
    };
    let world = World::new(identity::Config::default(), lists).await;
    let caller = world.anonymous().await;
    let told = told(&caller, interfaces::DISCOVERY, "getInstances", json!(["*"])).await;
    let of = |at: usize| {
        let it = &told[at];
        (
            it["host"].clone(),
            it["port"].clone(),
            it["schema"].clone(),
            it["secure"].clone(),
        )
    };
    assert_eq!(
        of(0),
        (json!("b1"), json!(9999), json!("tcp"), json!(false))
    );
    assert_eq!(of(1), (json!("b2"), json!(443), json!("wss"), json!(true)));
}
