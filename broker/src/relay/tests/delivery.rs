//! Whatever applications, callers and operators do, a request is delivered to an instance that serves what it names, fits
//! its endpoint and may be called, or to nobody: random operations against a model that knows no candidates, slots or
//! remembered routes.
//!
//! A seed gives the same operations every time. Who is picked among those that fit is the broker's own chance.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_rsocket::metadata::{BinaryRouting, Service, ServicePattern};

use super::{
    admission::{bearer, settle},
    *,
};
use crate::identity::{Effect, Right, Rule, realm::Realm};

const SEEDS: u64 = 12;
const STEPS: usize = 150;
const PROVIDERS: usize = 5;

/// `a` is what `a.A` looks like when its last part is taken for a method.
const SERVICES: [&str; 6] = ["a.A", "g!a.A", "a.A:2", "g!a.A:2", "b.B", "a"];
/// Subject, organisation and service account.
const WHO: [(&str, &str, &str); 4] = [
    ("red", "1", "default"),
    ("blue", "1", "default"),
    ("green", "2", "default"),
    ("grey", "1", "other"),
];

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        of.iter().copied().filter(|_| self.below(2) == 0).collect()
    }
}

/// A rule about calls; none is everything, or everybody.
#[derive(Clone, Copy, Debug)]
struct Ruling {
    deny: bool,
    service: Option<&'static str>,
    method: Option<&'static str>,
    subject: Option<&'static str>,
}

const RULINGS: [Ruling; 4] = [
    Ruling {
        deny: true,
        service: Some("b.B"),
        method: None,
        subject: Some("red"),
    },
    Ruling {
        deny: false,
        service: Some("b.B"),
        method: Some("n"),
        subject: Some("grey"),
    },
    Ruling {
        deny: false,
        service: Some("a.A"),
        method: None,
        subject: Some("green"),
    },
    Ruling {
        deny: true,
        service: None,
        method: Some("n"),
        subject: Some("blue"),
    },
];

impl Ruling {
    fn rule(&self) -> Rule {
        let patterns = |name: Option<&str>| name.into_iter().map(ServicePattern::new).collect();
        Rule {
            effect: if self.deny {
                Effect::Deny
            } else {
                Effect::Allow
            },
            rights: vec![Right::Call],
            services: patterns(self.service),
            methods: patterns(self.method),
            subjects: patterns(self.subject),
            roles: Vec::new(),
            authorities: Vec::new(),
        }
    }
}

/// What is true of one application.
#[derive(Clone, Debug)]
struct App {
    who: usize,
    connected: bool,
    leaving: bool,
    resting: bool,
    serves: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
struct Model {
    apps: Vec<App>,
    rulings: Vec<Ruling>,
}

/// What a call asks for.
#[derive(Clone, Debug)]
struct Call {
    caller: usize,
    /// The services that its text may mean, with the method that it names then.
    meanings: Vec<(String, &'static str)>,
    endpoint: Option<String>,
}

impl App {
    fn new(who: usize) -> Self {
        Self {
            who,
            connected: false,
            leaving: false,
            resting: false,
            serves: BTreeSet::new(),
        }
    }
}

fn zone(app: usize) -> &'static str {
    ["north", "south"][app % 2]
}

fn ip(app: usize) -> String {
    format!("10.0.0.{}", app % 3)
}

fn uuid(app: usize) -> String {
    format!("00000000-0000-4000-8000-{app:012}")
}

impl Model {
    fn may(&self, caller: usize, app: usize, service: &str, method: &str) -> bool {
        let (caller, app) = (WHO[caller], WHO[self.apps[app].who]);
        let about = |it: &&Ruling| it.service.is_none_or(|name| name == service);
        let is_for = |it: &Ruling| it.subject.is_none_or(|name| name == caller.0);
        // Of a call that does not say its method, nobody knows that it is not the one that is denied.
        let denied = |it: &Ruling| {
            it.deny
                && is_for(it)
                && (method.is_empty() || it.method.is_none_or(|name| name == method))
        };
        if self.rulings.iter().filter(about).any(denied) {
            return false;
        }
        let speaks = |it: &&Ruling| {
            !it.deny && (method.is_empty() || it.method.is_none_or(|name| name == method))
        };
        let allowing: Vec<_> = self.rulings.iter().filter(about).filter(speaks).collect();
        let named = |it: &&&Ruling| it.method.is_none() || !method.is_empty();
        match allowing.is_empty() {
            true => caller.1 == app.1 && caller.2 == app.2,
            false => allowing.iter().filter(named).any(|it| is_for(it)),
        }
    }

    fn fits(&self, call: &Call, at: usize, meaning: usize) -> bool {
        let (key, method) = &call.meanings[meaning];
        let app = &self.apps[at];
        let service = Service::parse(key).unwrap();
        let endpoint = call.endpoint.as_ref().is_none_or(|endpoint| {
            endpoint
                .split(',')
                .all(|rule| match rule.split_once(':').unwrap() {
                    ("zone", value) => value == zone(at),
                    ("ip", value) => value == ip(at),
                    ("uuid", value) => value == uuid(at),
                    _ => false,
                })
        });
        app.connected
            && !app.leaving
            && !app.resting
            && app.serves.contains(key.as_str())
            && endpoint
            && self.may(call.caller, at, service.service(), method)
    }

    /// Whether a call may be delivered there.
    fn admits(&self, call: &Call, at: usize) -> bool {
        (0..call.meanings.len()).any(|meaning| self.fits(call, at, meaning))
    }
}

struct Play {
    seed: u64,
    dice: Dice,
    realm: Realm,
    world: World,
    model: Model,
    providers: Vec<Option<Peer>>,
    callers: Vec<(Peer, u32)>,
    /// Who claims the uuid of somebody else, and must hear of nothing.
    thieves: Vec<Peer>,
    /// What has happened to whom, the last of it.
    happened: Vec<String>,
    delivered: usize,
    refused: usize,
}

impl Play {
    async fn new(seed: u64) -> Self {
        let realm = Realm::new();
        let world = realm.world();
        let mut dice = Dice(seed);
        let apps = (0..PROVIDERS)
            .map(|_| App::new(dice.below(WHO.len())))
            .collect();
        let mut play = Self {
            seed,
            dice,
            realm,
            world,
            model: Model {
                apps,
                rulings: Vec::new(),
            },
            providers: (0..PROVIDERS).map(|_| None).collect(),
            callers: Vec::new(),
            thieves: Vec::new(),
            happened: Vec::new(),
            delivered: 0,
            refused: 0,
        };
        for who in 0..WHO.len() {
            let mut caller = play.world.dial();
            let token = play.token(who);
            caller.setup(&[(Mime::AUTHENTICATION, &token)]).await;
            play.callers.push((caller, 1));
        }
        play
    }

    fn token(&self, who: usize) -> String {
        let (subject, organisation, account) = WHO[who];
        bearer(&self.realm.member(subject, organisation, account))
    }

    /// A connection that says it is this application.
    async fn connect(&self, app: usize, who: usize, serves: &[&str]) -> Peer {
        let mut peer = self.world.dial();
        let about = serde_json::json!({
            "name": "app", "uuid": uuid(app), "ip": ip(app), "metadata": { "zone": zone(app) },
        });
        let (about, services) = (about.to_string(), serde_json::json!(serves).to_string());
        let token = self.token(who);
        let entries = [
            (Mime::AUTHENTICATION, token.as_str()),
            (Mime::APPLICATION, &about),
            (Mime::SERVICE_REGISTRY, &services),
        ];
        peer.setup(&entries).await;
        peer
    }

    async fn event(&mut self, app: usize, kind: &str, data: serde_json::Value) {
        let source = format!("app://{}/", uuid(app));
        let event = serde_json::json!({
            "specversion": "1.0", "id": "1", "source": source, "data": data,
            "type": format!("com.alibaba.rsocket.events.{kind}"),
        });
        let peer = self.providers[app].as_mut().unwrap();
        peer.push(event.to_string().as_bytes()).await;
    }

    /// Something happens to an application, or to the rules. The model is what is true when it has.
    async fn happen(&mut self) {
        let at = self.dice.below(PROVIDERS);
        let app = self.model.apps[at].clone();
        let speaks = app.connected && !app.leaving;
        let what = self.dice.below(10);
        self.happened.push(format!("{what} to {at}"));
        match what {
            // It comes, comes back, or is replaced by its next connection.
            0..=3 => {
                let serves = self.dice.some(&SERVICES);
                let peer = self.connect(at, app.who, &serves).await;
                self.providers[at] = Some(peer);
                self.model.apps[at] = App {
                    connected: true,
                    serves: serves.into_iter().collect(),
                    ..App::new(app.who)
                };
            }
            4 if speaks => {
                let services = self.dice.some(&SERVICES);
                let data = serde_json::json!({ "appId": uuid(at), "services": services });
                self.event(at, "ServicesExposedEvent", data).await;
                let app = &mut self.model.apps[at];
                app.serves.extend(services);
                app.resting = false;
            }
            5 if speaks => {
                let services = self.dice.some(&SERVICES);
                let data = serde_json::json!({ "appId": uuid(at), "services": services });
                self.event(at, "ServicesHiddenEvent", data).await;
                let app = &mut self.model.apps[at];
                app.serves.retain(|service| !services.contains(service));
            }
            6 if speaks => {
                let status = self.dice.one(&[-1, 1, 2]);
                let data = serde_json::json!({ "id": uuid(at), "status": status });
                self.event(at, "AppStatusEvent", data).await;
                self.model.apps[at].resting = status != 1;
            }
            // It goes: with a word, or without.
            7 if speaks => {
                let peer = self.providers[at].as_mut().unwrap();
                peer.error(0, 0x102, "leaving").await;
                self.model.apps[at].leaving = true;
            }
            8 => {
                self.providers[at] = None;
                self.model.apps[at].connected = false;
            }
            // Somebody else says that it is this application.
            9 if speaks => {
                let thief = (app.who + 1 + self.dice.below(WHO.len() - 1)) % WHO.len();
                let thief = self.connect(at, thief, &SERVICES).await;
                self.thieves.push(thief);
            }
            _ => {
                self.model.rulings = self.dice.some(&RULINGS);
                let mut config = self.realm.config.clone();
                config.rules = self.model.rulings.iter().map(Ruling::rule).collect();
                let identity = &self.world.plane.identity;
                identity.put_into_effect(identity.prepare(config).unwrap());
            }
        }
    }

    fn call(&mut self) -> (Call, Interaction, Bytes) {
        let service = self.dice.one(&["a.A", "b.B", "a"]);
        let group = self.dice.one(&["", "", "g!"]);
        let version = self.dice.one(&["", "", ":2"]);
        let method = self.dice.one(&["m", "n", "m", "n", ""]);
        let key = format!("{group}{service}{version}");
        let (text, mut meanings) = match method {
            "" => (key.clone(), Vec::new()),
            method => (
                format!("{group}{service}.{method}{version}"),
                vec![(key.clone(), method)],
            ),
        };
        if method.is_empty() {
            // `a.A` may be the method `A` of `a`.
            let short = service.split_once('.').map(|(short, method)| {
                let method = if method == "A" { "A" } else { "B" };
                (format!("{group}{short}{version}"), method)
            });
            meanings = short.into_iter().chain([(key, "")]).collect();
        }
        let some = self.dice.below(PROVIDERS);
        let endpoint = match self.dice.below(8) {
            0 => Some(format!("zone:{}", zone(some))),
            1 => Some(format!("uuid:{}", uuid(some))),
            2 => Some(format!("zone:{},ip:{}", zone(some), ip(some))),
            3 => Some("zone:nowhere".to_owned()),
            _ => None,
        };
        let mut query: Vec<String> = Vec::new();
        query.extend(endpoint.as_ref().map(|endpoint| format!("e={endpoint}")));
        if self.dice.below(3) == 0 {
            query.push("sticky=1".to_owned());
        }
        let mut metadata = CompositeBuilder::new();
        let binary = self.dice.below(4) == 0;
        // In front, the text of the binary entry is what counts, so all of it stands there.
        let tags = match binary {
            true => vec![format!("{text}?{}&", query.join("&"))],
            false => [&[text][..], &query[..]].concat(),
        };
        let first = BinaryRouting::of_text(&tags[0]).encode();
        if binary {
            metadata = metadata.push(Mime::BINARY_ROUTING, &first);
        }
        let tags = encode_tags(tags.iter().map(String::as_str)).unwrap();
        let metadata = metadata.push(Mime::ROUTING, &tags).finish().unwrap();
        let interaction = self.dice.one(&[
            Interaction::Response,
            Interaction::Response,
            Interaction::FireAndForget,
            Interaction::Stream,
            Interaction::Channel,
        ]);
        let caller = self.dice.below(WHO.len());
        (
            Call {
                caller,
                meanings,
                endpoint,
            },
            interaction,
            metadata,
        )
    }

    /// What has reached applications since the last look: who, under which stream.
    async fn reached(&mut self) -> Vec<(usize, u32)> {
        let mut reached = Vec::new();
        for (at, peer) in self.providers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            while let Some(Some(Ok(frame))) = poll_once(peer.io.next_frame()).await {
                let frame = Frame::decode(&frame).unwrap();
                if let Body::Request(_) = frame.body {
                    reached.push((at, frame.header.stream_id.get()));
                }
            }
        }
        for thief in &mut self.thieves {
            while let Some(Some(Ok(frame))) = poll_once(thief.io.next_frame()).await {
                let frame = Frame::decode(&frame).unwrap();
                let request = matches!(frame.body, Body::Request(_));
                assert!(!request, "seed {}: a thief is called", self.seed);
            }
        }
        reached
    }

    /// Whether a caller was told that its call failed.
    async fn told(&mut self, caller: usize, stream: u32) -> Option<String> {
        let mut told = None;
        let peer = &mut self.callers[caller].0;
        while let Some(Some(Ok(frame))) = poll_once(peer.io.next_frame()).await {
            let Seen { stream: of, what } = Peer::describe(&frame);
            if of == stream && what.starts_with("error") {
                told = Some(what);
            }
        }
        told
    }

    async fn step(&mut self, number: usize) {
        let before = self.model.clone();
        let happens = self.dice.below(3) > 0;
        if happens {
            self.happen().await;
        }
        // Sometimes a call crosses what happens.
        let crosses = happens && self.dice.below(3) == 0;
        if !crosses {
            settle(&self.world).await;
        }
        let stray = self.reached().await;
        let at = format!("seed {}, step {number}", self.seed);
        assert!(stray.is_empty(), "{at}: {stray:?} reached without a call");

        let (call, interaction, metadata) = self.call();
        let n = u32::from(interaction.has_credit()) * 3;
        let (caller, stream) = &mut self.callers[call.caller];
        let stream = std::mem::replace(stream, *stream + 2);
        caller
            .request(stream, request(interaction, n, &metadata))
            .await;
        settle(&self.world).await;
        let reached = self.reached().await;
        let told = self.told(call.caller, stream).await;
        let what = format!(
            "{at}: {interaction:?} {call:?}
reached {reached:?}, told {told:?}
{:?}
{:#?}",
            self.happened, self.model
        );
        assert!(reached.len() <= 1, "delivered twice; {what}");
        if let Some((app, _)) = reached.first() {
            let admitted =
                self.model.admits(&call, *app) || (crosses && before.admits(&call, *app));
            assert!(admitted, "delivered where it must not be; {what}");
        }
        if crosses {
            self.finish(&reached, call.caller, stream, interaction)
                .await;
            return;
        }
        // And nobody is refused who need not be: what always says no would pass all of the above.
        let fits = (0..PROVIDERS).any(|app| self.model.fits(&call, app, 0));
        if call.meanings.len() == 1 {
            assert_eq!(!reached.is_empty(), fits, "{what}");
        }
        if interaction != Interaction::FireAndForget {
            assert_eq!(told.is_some(), reached.is_empty(), "{what}");
        }
        self.delivered += reached.len();
        self.refused += usize::from(reached.is_empty());
        self.finish(&reached, call.caller, stream, interaction)
            .await;
    }

    /// Most calls are answered; some stay open and are a load.
    async fn finish(
        &mut self,
        reached: &[(usize, u32)],
        caller: usize,
        stream: u32,
        interaction: Interaction,
    ) {
        let Some((app, far)) = reached.first() else {
            return;
        };
        if interaction == Interaction::FireAndForget || self.dice.below(4) == 0 {
            return;
        }
        if let Some(peer) = &mut self.providers[*app] {
            peer.payload(*far, "NC", b"x").await;
        }
        if interaction == Interaction::Channel {
            self.callers[caller].0.payload(stream, "C", b"").await;
        }
    }
}

#[test]
fn a_request_reaches_who_serves_it_and_may_be_called_or_nobody() {
    let mut told = BTreeMap::new();
    for seed in 0..SEEDS {
        let counts = &mut told;
        run(async move {
            let mut play = Play::new(seed).await;
            for number in 0..STEPS {
                play.step(number).await;
            }
            counts.insert(seed, (play.delivered, play.refused));
        });
    }
    // Both sides of the property were tried.
    let delivered: usize = told.values().map(|counts| counts.0).sum();
    let refused: usize = told.values().map(|counts| counts.1).sum();
    let enough = SEEDS as usize * STEPS / 10;
    assert!(delivered > enough && refused > enough, "{told:?}");
}
