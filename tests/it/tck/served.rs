//! The responder's side: handlers found by interaction and data, each with its marble, and a count of
//! what they have seen of their requesters.
//!
//! The kit's language is one line per handler, `rr|rs|fnf%%data%%metadata%%MARBLE[&&names]`.

use std::{collections::BTreeMap, pin::Pin};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jackfield_rsocket::endpoint::{
    ConnectOptions, Failure, Handler, Incoming, Items, Message, Reply, Requester, connect,
};
use tokio::sync::watch;

use super::{
    marble::{Item, Marble},
    script::{Kind, Until, kind},
};

#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) kind: Kind,
    pub(super) item: Item,
    pub(super) answer: Answer,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Marble(Marble),
    /// Every item of a channel back.
    Echo,
    /// A marble, whatever comes; after so many items of the requester's it wants no more.
    Taking(usize, Marble),
}

/// The handlers of one server file.
pub(super) fn parse(text: &str) -> Result<Vec<Served>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.splitn(4, "%%");
            let mut word = || words.next().ok_or_else(|| format!("four words: {line}"));
            Ok(Served {
                kind: kind(word()?)?,
                item: Item::new(word()?, word()?),
                answer: Answer::Marble(Marble::parse(word()?)?),
            })
        })
        .collect()
}

/// What the handler of one request has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    items: usize,
    last: bool,
    stopped: bool,
}

impl Seen {
    pub(super) fn reached(self, until: &Until) -> bool {
        match until {
            Until::Taken(n) => self.items >= *n,
            Until::TakenAll => self.last,
            Until::Stopped => self.stopped,
            _ => false,
        }
    }
}

/// By the data of the request.
pub(super) type Sight = watch::Receiver<BTreeMap<String, Seen>>;

pub(super) struct Responder {
    pub(super) sight: Sight,
    _connection: Requester,
}

impl Responder {
    /// Registers `service`, and waits until the broker routes to it.
    pub(super) async fn start(uri: &str, service: &str, served: Vec<Served>) -> Self {
        let (seen, sight) = watch::channel(BTreeMap::new());
        let app = ConnectOptions::app(service)
            .publish(service)
            .expect("a plain name")
            .serve(Handlers { served, seen });
        let uri = uri.parse().expect("a broker's URI");
        let connection = connect(&uri, app).await.expect("the broker accepts");
        let ready = Item::new(READY, "").message(Some(service));
        while connection.request_response(ready.clone()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self {
            sight,
            _connection: connection,
        }
    }
}

/// What a responder asks itself through the broker.
const READY: &str = "ready";

struct Handlers {
    served: Vec<Served>,
    seen: watch::Sender<BTreeMap<String, Seen>>,
}

impl Handlers {
    fn find(&self, kind: Kind, request: &Message) -> Result<(String, Answer), Failure> {
        let item = Item::read(request);
        let found = self
            .served
            .iter()
            .find(|served| served.kind == kind && served.item == item);
        let answer = found.map(|served| served.answer.clone());
        let answer = answer.ok_or_else(|| Failure::invalid(format!("no handler for {item:?}")))?;
        Ok((item.data, answer))
    }

    fn note(&self, call: &str) -> impl Fn(&dyn Fn(&mut Seen)) + Send + Sync + Clone + 'static {
        let (seen, call) = (self.seen.clone(), call.to_owned());
        move |change| seen.send_modify(|seen| change(seen.entry(call.clone()).or_default()))
    }

    fn marble(&self, call: &str, marble: Marble) -> Items {
        let note = self.note(call);
        Box::pin(marble.play(move |whole| {
            if !whole {
                note(&|seen| seen.stopped = true);
            }
        }))
    }
}

impl Handler for Handlers {
    fn request_response(&self, request: Message) -> Reply {
        if request.data == READY {
            return Box::pin(async { Ok(Message::default()) });
        }
        let mut items = self.request(Kind::Response, &request);
        Box::pin(async move { items.next().await.unwrap_or_else(|| Ok(Message::default())) })
    }

    fn request_stream(&self, request: Message) -> Items {
        self.request(Kind::Stream, &request)
    }

    fn request_channel(&self, first: Message, rest: Incoming) -> Items {
        let (call, answer) = match self.find(Kind::Channel, &first) {
            Ok(found) => found,
            Err(failure) => return Box::pin(stream::iter([Err(failure)])),
        };
        let note = self.note(&call);
        note(&|seen| seen.items += 1);
        match answer {
            Answer::Marble(marble) => {
                tokio::spawn(take(rest, usize::MAX, note));
                self.marble(&call, marble)
            }
            Answer::Taking(items, marble) => {
                tokio::spawn(take(rest, items.saturating_sub(1), note));
                self.marble(&call, marble)
            }
            Answer::Echo => {
                let rest =
                    rest.map(|item| item.map_err(|error| Failure::application(error.to_string())));
                let items = stream::iter([Ok(first)]).chain(rest);
                Box::pin(items.inspect(move |_| note(&|seen| seen.items += 1)))
            }
        }
    }

    fn fire_and_forget(&self, request: Message) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.note(&Item::read(&request).data)(&|seen| seen.items += 1);
        Box::pin(async {})
    }

    fn metadata_push(&self, _: Bytes) {}
}

impl Handlers {
    fn request(&self, kind: Kind, request: &Message) -> Items {
        match self.find(kind, request) {
            Ok((call, Answer::Marble(marble))) => self.marble(&call, marble),
            Ok(_) => Box::pin(stream::iter([Err(Failure::invalid("of a channel only"))])),
            Err(failure) => Box::pin(stream::iter([Err(failure)])),
        }
    }
}

/// Takes at most so many items, then wants no more.
async fn take(rest: Incoming, items: usize, note: impl Fn(&dyn Fn(&mut Seen))) {
    let mut rest = rest.take(items);
    while let Some(item) = rest.next().await {
        match item {
            Ok(_) => note(&|seen| seen.items += 1),
            Err(_) => return note(&|seen| seen.stopped = true),
        }
    }
    note(&|seen| seen.last = true);
}
