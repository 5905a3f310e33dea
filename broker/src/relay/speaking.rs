//! Credentials in a request's own metadata (`auth.per-request`) that a plugin has to judge: the request waits until it has,
//! off the data plane, and what it said is remembered for a while.
//!
//! A request that waits is a [`Waiting`] like one whose metadata is still arriving; its bytes count as held
//! (`holding.rs`). A fire-and-forget that is whole has no stream to wait at: it travels with the question.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use jackfield_rsocket::{metadata::Scan, wire::StreamId};
use ring::digest::{SHA256, digest};
use tokio::time::timeout;

use super::{
    errand::Errand,
    holding::Share,
    item::{Item, Part, RequestPart},
    link::Link,
    plane::Plane,
    refusal::Refusal,
    splice::Splice,
    vouching::{credential, voucher},
    waiting::Waiting,
};
use crate::{
    chain::{Admitted, Applicant},
    identity::Principal,
};

/// What one connection is known to speak for.
const KNOWN_MAX: usize = 64;
/// How long a plugin's word is good, unless it says less.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long its refusal is.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Whose request it is; none: the plugin refuses who shows such credentials.
pub(super) type Said = Option<Arc<Principal>>;

/// What plugins said of credentials in requests of one connection. Of the credentials a hash is kept.
#[derive(Default)]
pub(super) struct Speakers {
    known: Vec<Speaker>,
}

struct Speaker {
    credentials: [u8; 32],
    said: Said,
    /// Of the chain that was asked.
    generation: u64,
    until: Instant,
}

/// A request that waits for a plugin's word.
#[derive(Debug)]
pub(super) struct Asking {
    number: u64,
    pub(super) share: Share,
    /// The last fragment has come.
    pub(super) last: bool,
    _errand: Errand,
}

/// A fire-and-forget that is whole: it has no stream to wait at.
#[derive(Debug)]
struct Told {
    request: RequestPart,
    fragments: Vec<Part>,
    metadata: Bytes,
    _share: Share,
}

/// The plugin's word.
#[derive(Debug)]
pub(super) struct Word {
    id: StreamId,
    number: u64,
    told: Option<Told>,
    credentials: Bytes,
    generation: u64,
    answer: Answer,
}

/// What came of asking whose request it is.
#[derive(Debug)]
enum Answer {
    Said(Said),
    NoOpinion,
    Failed,
}

fn hash(credentials: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, credentials).as_ref());
    hash
}

impl Speakers {
    pub(super) fn find(&self, credentials: &[u8], generation: u64, now: Instant) -> Option<Said> {
        if self.known.is_empty() {
            return None;
        }
        let credentials = hash(credentials);
        let speaker = { self.known.iter() }.find(|known| known.credentials == credentials)?;
        let good = speaker.generation == generation && now < speaker.until;
        good.then(|| speaker.said.clone())
    }

    fn remember(&mut self, credentials: &[u8], said: Said, generation: u64, now: Instant) {
        let expires = said.as_ref().map(|principal| principal.expires);
        let left = match expires {
            None => REFUSED_FOR,
            Some(None) => GOOD_FOR,
            Some(Some(expires)) => {
                let left = expires.duration_since(SystemTime::now());
                left.unwrap_or_default()
            }
        };
        let credentials = hash(credentials);
        self.known.retain(|known| known.credentials != credentials);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.push(Speaker {
            credentials,
            said,
            generation,
            until: now + left.min(GOOD_FOR),
        });
    }
}

impl Link {
    /// Has plugins asked whose request it is that waits at this stream.
    pub(super) fn ask_at(
        &mut self,
        id: StreamId,
        credentials: Bytes,
        last: bool,
    ) -> Result<(), Refusal> {
        let bytes = match self.connection.get(id) {
            Some(Splice::Waiting(waiting)) => waiting.bytes(),
            _ => return Ok(()),
        };
        let share = match self.plane.holding.admit(&self.me, bytes) {
            Ok(share) => share,
            Err(refusal) => {
                self.connection.forget(id);
                return Err(refusal);
            }
        };
        let number = self.next_word();
        let errand = Errand::new(self.question(id, number, None, credentials));
        let until = self.now + self.plane.holding.time_max();
        if let Some(Splice::Waiting(waiting)) = self.connection.get_mut(id) {
            waiting.deadline = until;
            waiting.asking = Some(Asking {
                number,
                share,
                last,
                _errand: errand,
            });
        }
        Ok(())
    }

    /// The same of a fire-and-forget that is whole.
    pub(super) fn ask_of(
        &mut self,
        id: StreamId,
        waiting: Waiting,
        credentials: Bytes,
    ) -> Result<(), Refusal> {
        let told = Told {
            _share: self.plane.holding.admit(&self.me, waiting.bytes())?,
            request: waiting.request,
            fragments: waiting.fragments,
            metadata: waiting.metadata.freeze(),
        };
        let number = self.next_word();
        tokio::task::spawn_local(self.question(id, number, Some(told), credentials));
        Ok(())
    }

    fn next_word(&mut self) -> u64 {
        self.words += 1;
        self.words
    }

    fn question(
        &self,
        id: StreamId,
        number: u64,
        told: Option<Told>,
        credentials: Bytes,
    ) -> impl Future<Output = ()> + use<> {
        let app = self.instance.as_ref().map(|instance| &instance.app);
        let applicant = Applicant {
            app: self.app_name.to_string(),
            uuid: app.map_or_else(String::new, |app| app.uuid.clone()),
            address: self.address.to_string(),
            transport: self.me.transport.to_owned(),
            credentials: credential(&credentials).into_iter().collect(),
            ..Applicant::default()
        };
        let (me, plane) = (self.me.clone(), self.plane.clone());
        async move {
            let asking = timeout(plane.holding.time_max(), plane.speaks_for(applicant));
            let (generation, answer) = asking.await.unwrap_or((0, Answer::Failed));
            let word = Word {
                id,
                number,
                told,
                credentials,
                generation,
                answer,
            };
            let _ = me.push(&me, Item::Word(Box::new(word)));
        }
    }

    /// A plugin has spoken: the request goes on, or is refused.
    pub(super) fn on_word(&mut self, word: Word) {
        let Word {
            id,
            number,
            told,
            credentials,
            generation,
            answer,
        } = word;
        let principal = match answer {
            Answer::Said(said) => {
                let now = self.now;
                (self.speakers).remember(&credentials, said.clone(), generation, now);
                said
            }
            Answer::NoOpinion => self.plane.identity.of_request(&credentials).ok(),
            Answer::Failed => None,
        };
        let principal = principal.ok_or(Refusal::RequestNotAuthenticated);
        if let Some(told) = told {
            return self.on_word_told(id, told, principal);
        }
        let Some(Splice::Waiting(waiting)) = self.connection.get_mut(id) else {
            return;
        };
        let Some(asking) = waiting.asking.take_if(|asking| asking.number == number) else {
            return;
        };
        let interaction = waiting.request.interaction;
        let metadata = waiting.metadata.clone().freeze();
        let decided = principal.and_then(|principal| {
            self.on_behalf = Some(principal);
            match self.scan(&metadata, true)? {
                Scan::Found(entries) => self.decide_for(&metadata, &entries, interaction),
                Scan::NotFound | Scan::NeedMore => Err(Refusal::NoRoute),
            }
        });
        let rest = (&*metadata, asking.last);
        if let Err(refusal) = decided.and_then(|decided| self.start_waiting(id, decided, rest)) {
            self.connection.forget(id);
            self.refuse_new(id, interaction, &refusal);
        }
    }

    fn on_word_told(
        &mut self,
        id: StreamId,
        told: Told,
        principal: Result<Arc<Principal>, Refusal>,
    ) {
        let interaction = told.request.interaction;
        let mut waiting = Waiting::asking(told.request, &told.metadata, &self.held, self.now);
        waiting.fragments = told.fragments;
        let started = principal.and_then(|principal| {
            self.on_behalf = Some(principal);
            self.start_told(id, waiting, |link, metadata, entries| {
                link.decide_for(metadata, entries, interaction)
            })
        });
        if let Err(refusal) = started {
            self.refuse_new(id, interaction, &refusal);
        }
    }
}

impl Plane {
    /// Whom plugins say a request speaks for, and the generation of the chain that said so.
    async fn speaks_for(&self, applicant: Applicant) -> (u64, Answer) {
        let chain = self.chains.current();
        let answer = match chain.authenticate(applicant).await {
            Admitted::Unknown => Answer::NoOpinion,
            Admitted::As(said) => Answer::Said(Some(self.identity.vouched(voucher(said)))),
            Admitted::Refused(_) => Answer::Said(None),
            Admitted::Failed(_) => Answer::Failed,
        };
        (chain.generation(), answer)
    }
}
