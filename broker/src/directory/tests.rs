use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use jackfield_rsocket::metadata::{Service, murmur3};

use super::*;

fn app(uuid: &str, ip: &str) -> App {
    App {
        uuid: uuid.into(),
        name: format!("app-{uuid}"),
        ip: ip.into(),
        remote: Some(IpAddr::from([127, 0, 0, 1])),
        transport: "tcp",
        sdk: None,
        power: 1,
        metadata: BTreeMap::from([("zone".into(), format!("z{ip}"))]),
        connected_at_ms: 0,
        owner: None,
        client: Client::default(),
    }
}

fn service(key: &str) -> Service {
    Service::parse(key).unwrap()
}

fn by(endpoint: &str, random: u64) -> Pick<'_> {
    Pick {
        endpoint: Endpoint(endpoint),
        balance: Balance::LeastLoaded,
        random,
    }
}

#[test]
fn registering_offers_and_withdrawing_hides() {
    let directory = Directory::default();
    let one = directory
        .register(app("1", "a"), vec![service("g!s:1")], 1)
        .unwrap()
        .instance;
    let before = directory.generation();
    let slot = directory.find("g!s:1").unwrap();
    assert_eq!(slot.pick(by("", 0), |_| true).unwrap().link, 1);
    assert_eq!(
        directory
            .find_by_id(service("g!s:1").id())
            .unwrap()
            .service(),
        slot.service()
    );

    let two = directory
        .register(app("2", "b"), vec![service("g!s:1")], 2)
        .unwrap()
        .instance;
    assert_eq!(
        (directory.generation(), slot.candidates().len()),
        (before, 1)
    );
    assert_eq!((directory.publish(), directory.publish()), (1, 0));
    assert_eq!(slot.candidates().len(), 2);

    // Gone is not picked, though the slot was not swapped yet.
    directory.withdraw(&one);
    for random in 0..10 {
        assert_eq!(slot.pick(by("", random), |_| true).unwrap().link, 2);
    }
    directory.withdraw(&two);
    assert!(slot.is_empty() && directory.find("g!s:1").is_none());
    assert!(directory.find_by_id(service("g!s:1").id()).is_none());
    assert_ne!(directory.generation(), before);
    assert!(directory.apps().is_empty() && directory.services().is_empty());
}

#[test]
fn a_uuid_gives_way_to_the_same_address_only() {
    let directory = Directory::default();
    let old = directory
        .register(app("1", "a"), vec![service("s")], 1)
        .unwrap()
        .instance;
    let new = directory
        .register(app("1", "a"), vec![service("s")], 2)
        .unwrap()
        .instance;
    assert_eq!(
        directory
            .find("s")
            .unwrap()
            .pick(by("", 0), |_| true)
            .unwrap()
            .link,
        2
    );
    // The late close of the old connection does not take the new one out.
    directory.withdraw(&old);
    assert_eq!(directory.apps().len(), 1);
    assert!(!new.is_gone());

    let stranger = App {
        remote: Some(IpAddr::from([127, 0, 0, 9])),
        ..app("1", "a")
    };
    let refused = directory.register(stranger, vec![], 3).map(|_| ());
    assert_eq!(refused, Err(RegisterError::UuidTaken("1".into())));
}

#[test]
fn endpoints_choose_among_all_that_match() {
    let directory = Directory::default();
    for (uuid, ip) in [("1", "a"), ("2", "b"), ("3", "b")] {
        directory
            .register(app(uuid, ip), vec![service("s")], uuid)
            .unwrap();
    }
    directory.publish();
    let slot = directory.find("s").unwrap();
    let id = format!("id:{}", slot.candidates()[0].id);
    let picks = |endpoint: &str| {
        let mut links: Vec<&str> = (0..20)
            .filter_map(|random| slot.pick(by(endpoint, random), |_| true))
            .map(|instance| instance.link)
            .collect();
        links.sort_unstable();
        links.dedup();
        links.join(" ")
    };
    for (endpoint, expected) in [
        ("", "1 2 3"),
        ("ip:a", "1"),
        ("ip:b", "2 3"),
        ("ip:127.0.0.1", "1 2 3"),
        ("uuid:2", "2"),
        ("id:3", "3"),
        (id.as_str(), "1"),
        ("zone:zb", "2 3"),
        ("zone:zb,uuid:3", "3"),
        ("zone:zb, uuid:1", ""),
        ("zone:zc", ""),
        ("nonsense", ""),
    ] {
        assert_eq!(picks(endpoint), expected, "{endpoint}");
    }
}

#[test]
fn load_and_weight_steer_picks() {
    let directory = Directory::default();
    let light = App {
        power: 1,
        ..app("1", "a")
    };
    let heavy = App {
        power: 3,
        ..app("2", "b")
    };
    directory.register(light, vec![service("s")], 1).unwrap();
    directory.register(heavy, vec![service("s")], 2).unwrap();
    directory.publish();
    let slot = directory.find("s").unwrap();
    let mut loads = Vec::new();
    let mut count = [0, 0, 0];
    for random in 0..40 {
        let picked = slot.pick(by("", random), |_| true).unwrap();
        count[picked.link] += 1;
        loads.push(picked.begin());
    }
    assert_eq!(count, [0, 10, 30]);
    drop(loads);
    assert_eq!(slot.candidates()[0].in_flight(), 0);
    // Calls one after the other, so that nobody is loaded, go by weight too.
    let idle = (0..4000).filter(|random| slot.pick(by("", *random), |_| true).unwrap().link == 1);
    let light = idle.count();
    assert!((900..1100).contains(&light), "{light} of 4000");

    let balance = Balance::RoundRobin;
    let turn = |random| Pick {
        endpoint: Endpoint(""),
        balance,
        random,
    };
    let links: Vec<usize> = (0..4)
        .map(|random| slot.pick(turn(random), |_| true).unwrap().link)
        .collect();
    assert_eq!(links, [1, 2, 1, 2]);

    let balance = Balance::Random;
    let chance = |random| Pick {
        endpoint: Endpoint(""),
        balance,
        random,
    };
    let ones = (0..400).filter(|random| slot.pick(chance(*random), |_| true).unwrap().link == 1);
    assert_eq!(ones.count(), 100);
    assert!(
        slot.pick(chance(7), |instance| instance.link == 9)
            .is_none()
    );
}

/// The first two names in a row of names that have the same number.
fn colliding() -> (String, String) {
    let mut seen = HashMap::new();
    for n in 0.. {
        let name = format!("service-{n}");
        if let Some(other) = seen.insert(murmur3(name.as_bytes()), name.clone()) {
            return (other, name);
        }
    }
    unreachable!("there are more names than numbers")
}

/// Two names with one number: the number alone finds neither, each name its own.
#[test]
fn colliding_ids_are_routed_by_name() {
    let (one, two) = colliding();
    let directory = Directory::default();
    let register = |uuid, key: &str, link| {
        let services = vec![service(key)];
        directory.register(app(uuid, "a"), services, link).unwrap()
    };
    let first = register("1", &one, 1).instance;
    let id = service(&one).id();
    assert_eq!(directory.find_by_id(id).unwrap().key(), one);
    register("2", &two, 2);
    assert!(directory.find_by_id(id).is_none());
    assert!(directory.services().iter().all(|service| service.shares_id));
    for (name, link) in [(&one, 1), (&two, 2)] {
        let slot = directory.find(name).unwrap();
        assert_eq!(slot.pick(by("", 0), |_| true).unwrap().link, link);
    }
    // When one goes the other is found by number again.
    directory.withdraw(&first);
    assert_eq!(directory.find_by_id(id).unwrap().key(), two);
    assert!(!directory.services()[0].shares_id);
}

fn links(directory: &Directory<i32>, key: &str) -> Vec<i32> {
    let Some(slot) = directory.find(key) else {
        return Vec::new();
    };
    let picked = (0..40).filter_map(|random| slot.pick(by("", random), |_| true));
    let mut links: Vec<i32> = picked.map(|instance| instance.link).collect();
    links.sort_unstable();
    links.dedup();
    links
}

#[test]
fn services_come_and_go_while_the_application_stays() {
    let directory = Directory::default();
    let register = |uuid, services, link| {
        let registered = directory.register(app(uuid, "a"), services, link);
        registered.unwrap().instance
    };
    let one = register("1", vec![], 1);
    let two = register("2", vec![service("s"), service("t")], 2);
    assert_eq!(
        (one.status(), two.status()),
        (Status::Connected, Status::Serving)
    );

    let version = directory.version();
    directory
        .expose(&one, vec![service("s"), service("s"), service("u")])
        .unwrap();
    assert_ne!(directory.version(), version);
    directory.publish();
    assert_eq!(one.status(), Status::Serving);
    assert_eq!(links(&directory, "s"), [1, 2]);
    assert_eq!(links(&directory, "u"), [1]);
    assert_eq!(directory.apps()[0].services, ["s", "u"]);

    // What is hidden is not picked from that moment on, published or not.
    let slot = directory.find("s").unwrap();
    directory.conceal(&one, &[service("s"), service("never")]);
    assert_eq!(links(&directory, "s"), [2]);
    assert!(!slot.has(&one) && slot.has(&two) && !slot.is_retired());
    directory.conceal(&two, &[service("s")]);
    assert!(slot.is_retired() && directory.find("s").is_none());
    assert!(directory.is_offered("u") && !directory.is_offered("s"));
    directory.conceal(&one, &[service("u")]);
    assert_eq!(one.status(), Status::Connected);
    assert!(!directory.is_offered("u"));
    assert!(directory.expose(&two, vec![service("s")]).is_ok());
    assert!(!Arc::ptr_eq(&slot, &directory.find("s").unwrap()));
}

#[test]
fn an_application_out_of_service_is_not_picked_and_comes_back() {
    let directory = Directory::default();
    let register = |uuid, link| {
        let services = vec![service("s"), service(uuid)];
        directory
            .register(app(uuid, "a"), services, link)
            .unwrap()
            .instance
    };
    let one = register("1", 1);
    let _two = register("2", 2);
    directory.publish();
    for resting in [Status::OutOfService, Status::Stopped] {
        directory.set_status(&one, resting);
        assert_eq!(links(&directory, "s"), [2], "at once");
        directory.publish();
        assert_eq!(links(&directory, "s"), [2]);
        assert!(links(&directory, "1").is_empty());
        assert_eq!(directory.apps()[0].services, ["1", "s"], "still known");
        directory.set_status(&one, Status::Serving);
        directory.publish();
        assert_eq!(links(&directory, "s"), [1, 2]);
        assert_eq!(links(&directory, "1"), [1]);
    }
    // Exposing something ends the rest too, as it does at the archived broker.
    directory.set_status(&one, Status::OutOfService);
    directory.expose(&one, vec![service("new")]).unwrap();
    directory.publish();
    for key in ["s", "1", "new"] {
        assert!(links(&directory, key).contains(&1), "{key}");
    }
    // What has gone does not come back by an event that was on its way.
    directory.withdraw(&one);
    directory.set_status(&one, Status::Serving);
    directory.expose(&one, vec![service("late")]).unwrap();
    assert!(directory.find("late").is_none() && directory.find("1").is_none());
}

#[test]
fn weights_change_from_one_pick_to_the_next() {
    let directory = Directory::default();
    let register = |uuid, link| {
        let registered = directory.register(app(uuid, "a"), vec![service("s")], link);
        registered.unwrap().instance
    };
    let (one, _two) = (register("1", 1), register("2", 2));
    directory.publish();
    let slot = directory.find("s").unwrap();
    let share_of_one = || {
        let pick = |random| Pick {
            endpoint: Endpoint(""),
            balance: Balance::Random,
            random,
        };
        let picked = (0..400).filter_map(|random| slot.pick(pick(random), |_| true));
        picked.filter(|instance| instance.link == 1).count()
    };
    assert_eq!(share_of_one(), 200);
    directory.set_power(&one, 3);
    assert_eq!(share_of_one(), 300);
    directory.set_power(&one, 0);
    assert_eq!((one.power(), share_of_one()), (1, 200));
}

#[test]
fn what_the_broker_answers_itself_nobody_else_publishes() {
    let directory = Directory::default();
    let broker = App {
        client: Client {
            builtin: true,
            ..Client::default()
        },
        ..app("broker", "")
    };
    directory
        .register(broker, vec![service("health")], 0)
        .unwrap();
    let thief = directory
        .register(app("1", "a"), vec![service("health"), service("s")], 1)
        .unwrap()
        .instance;
    directory.expose(&thief, vec![service("health")]).unwrap();
    directory.publish();
    assert_eq!(links(&directory, "health"), [0]);
    assert_eq!(links(&directory, "s"), [1]);
    // Parts of the broker show in no list.
    let services: Vec<String> = directory.services().into_iter().map(|it| it.key).collect();
    assert_eq!(services, ["s"]);
    assert_eq!(directory.apps().len(), 1);
    assert_eq!(directory.sizes(), (1, 1));
    assert!(directory.instance("broker").is_none());
}

#[test]
fn of_one_application_only_so_many_services_are_taken() {
    let directory = Directory::default();
    let many = |from: usize, len: usize| -> Vec<Service> {
        (from..from + len)
            .map(|n| service(&format!("s{n}")))
            .collect()
    };
    let refused = directory.register(app("1", "a"), many(0, SERVICES_MAX + 1), 1);
    assert!(matches!(refused, Err(RegisterError::TooManyServices(_))));
    let full = directory
        .register(app("1", "a"), many(0, SERVICES_MAX), 1)
        .unwrap();
    assert!(
        directory.expose(&full.instance, many(5, 10)).is_ok(),
        "known already"
    );
    assert!(directory.expose(&full.instance, many(5000, 1)).is_err());
    assert!(directory.find("s5000").is_none());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Register(u8, Vec<u8>),
        Withdraw(u8),
        Expose(u8, u8),
        Conceal(u8, u8),
        Status(u8, Status),
        Publish,
    }

    fn change() -> impl Strategy<Value = Change> {
        let (app, name) = (0u8..4, 0u8..5);
        let status = prop_oneof![
            Just(Status::Serving),
            Just(Status::OutOfService),
            Just(Status::Stopped)
        ];
        prop_oneof![
            (app.clone(), proptest::collection::vec(name.clone(), 0..4))
                .prop_map(|(app, names)| Change::Register(app, names)),
            app.clone().prop_map(Change::Withdraw),
            (app.clone(), name.clone()).prop_map(|(app, name)| Change::Expose(app, name)),
            (app.clone(), name).prop_map(|(app, name)| Change::Conceal(app, name)),
            (app, status).prop_map(|(app, status)| Change::Status(app, status)),
            Just(Change::Publish),
        ]
    }

    /// What a list of applications would say, kept by hand.
    #[derive(Default)]
    struct Model {
        apps: BTreeMap<u8, (i32, Vec<u8>, bool)>,
    }

    impl Model {
        fn offers(&self, link: i32, name: u8) -> bool {
            let offers = |(own, names, rests): &(i32, Vec<u8>, bool)| {
                *own == link && names.contains(&name) && !rests
            };
            self.apps.values().any(offers)
        }
    }

    proptest! {
        /// No request is ever delivered to an instance that does not serve it, whatever has been swapped; and
        /// once all is, every service that is offered is found.
        #[test]
        fn only_who_serves_is_picked(changes in proptest::collection::vec(change(), 0..60)) {
            let directory = Directory::default();
            let mut model = Model::default();
            let mut instances = BTreeMap::new();
            let key = |name: u8| format!("s{name}");
            for (link, change) in (0i32..).zip(changes) {
                match change {
                    Change::Register(uuid, names) => {
                        let services = names.iter().map(|name| service(&key(*name))).collect();
                        let app = app(&uuid.to_string(), "a");
                        let registered = directory.register(app, services, link).unwrap();
                        instances.insert(uuid, registered.instance);
                        model.apps.insert(uuid, (link, names, false));
                    }
                    Change::Withdraw(uuid) => {
                        if let Some(instance) = instances.remove(&uuid) {
                            directory.withdraw(&instance);
                            model.apps.remove(&uuid);
                        }
                    }
                    Change::Expose(uuid, name) => {
                        if let Some(instance) = instances.get(&uuid) {
                            directory.expose(instance, vec![service(&key(name))]).unwrap();
                            let app = model.apps.get_mut(&uuid).unwrap();
                            app.1.push(name);
                            app.2 = false;
                        }
                    }
                    Change::Conceal(uuid, name) => {
                        if let Some(instance) = instances.get(&uuid) {
                            directory.conceal(instance, &[service(&key(name))]);
                            model.apps.get_mut(&uuid).unwrap().1.retain(|own| *own != name);
                        }
                    }
                    Change::Status(uuid, status) => {
                        if let Some(instance) = instances.get(&uuid) {
                            directory.set_status(instance, status);
                            model.apps.get_mut(&uuid).unwrap().2 = status != Status::Serving;
                        }
                    }
                    Change::Publish => {
                        directory.publish();
                    }
                }
                for name in 0..5 {
                    for link in links(&directory, &key(name)) {
                        prop_assert!(model.offers(link, name), "{link} does not serve s{name}");
                    }
                    // And of those, who may be called and fits: whatever the balance.
                    let Some(slot) = directory.find(&key(name)) else {
                        continue;
                    };
                    for (random, balance) in (0..6).zip([
                        Balance::Random,
                        Balance::RoundRobin,
                        Balance::LeastLoaded,
                    ].into_iter().cycle()) {
                        let by = Pick { endpoint: Endpoint("uuid:1,ip:a"), balance, random };
                        if let Some(picked) = slot.pick(by, |it| it.link % 3 != 0) {
                            prop_assert!(model.offers(picked.link, name));
                            prop_assert!(picked.link % 3 != 0 && picked.app.uuid == "1");
                        }
                    }
                }
            }
            directory.publish();
            for name in 0..5 {
                let offered = model.apps.values().filter(|app| app.1.contains(&name) && !app.2);
                prop_assert_eq!(links(&directory, &key(name)).len(), offered.count());
            }
        }
    }
}
