use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwap, Guard};
use jackfield_rsocket::{
    metadata::Auth,
    net::{Peer, TlsIdentity},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};

use super::{
    certificate,
    config::Config,
    denied::Denied,
    jwt::{JwksSource, token_hash},
    keys::Key,
    metrics::Metrics,
    policy::{Judgement, Right},
    principal::{Principal, Voucher},
    state::{FileError, Found, State},
    users::NAME_MAX,
};
use crate::telemetry::RateLimit;

/// Passwords that are checked at the same time; each takes tens of milliseconds and of megabytes.
const PASSWORDS_MAX: usize = 2;
/// How long a connection waits for a password's turn, or for a key that is not known yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody shows to say who they are.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The content of entry 0x7C.
    pub auth: Option<&'a [u8]>,
    /// Of mutual TLS.
    pub certificate: Option<&'a TlsIdentity>,
    /// For the log.
    pub peer: Peer,
}

/// Finds out who somebody is, and says what they may do. One for the process.
#[derive(Debug)]
pub struct Identity {
    state: ArcSwap<State>,
    /// Changes with the rules: what was decided by them is to be decided again.
    generation: AtomicU64,
    /// Keys that came from the key set's URL; held while a new state is made.
    fetched: Mutex<Fetched>,
    pub(super) metrics: Metrics,
    lines: RateLimit,
    passwords: Arc<Semaphore>,
    /// Somebody wants the key set fetched.
    pub(super) keys_wanted: Notify,
    /// Counts answers to that, good and bad.
    keys_tried: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Fetched {
    url: String,
    keys: Vec<Key>,
}

impl Identity {
    /// Reads every file that the configuration names.
    pub fn new(config: Config, registry: &prometheus::Registry) -> Result<Self, IdentityError> {
        Ok(Self {
            state: ArcSwap::from_pointee(State::build(config, &[])?),
            generation: AtomicU64::new(0),
            fetched: Mutex::default(),
            metrics: Metrics::register(registry)?,
            lines: RateLimit::default(),
            passwords: Arc::new(Semaphore::new(PASSWORDS_MAX)),
            keys_wanted: Notify::new(),
            keys_tried: watch::Sender::new(0),
        })
    }

    // ---- who

    /// Whether nobody gets in without authenticating.
    pub fn is_required(&self) -> bool {
        self.state.load().config.required
    }

    /// Who opens a connection. The reason of a refusal is for us: it is counted and logged here,
    /// and the peer is told nothing of it.
    pub async fn admit(&self, shown: Credentials<'_>) -> Result<Arc<Principal>, Denied> {
        let denied = match self.find_out(shown).await {
            Ok(principal) => return Ok(principal),
            Err(denied) => denied,
        };
        let required = self.is_required();
        self.metrics.denied(denied);
        if self.may_log("RST-500405") {
            let (outcome, peer) = (denied.as_str(), shown.peer);
            let then = if required {
                "refused"
            } else {
                "let in without it"
            };
            tracing::warn!(code = "RST-500405", %peer, outcome, "credentials were not accepted; {then}");
        }
        if required {
            return Err(denied);
        }
        // SDKs of the archived broker always send a token, whether or not anybody wants one.
        Ok(self.without_credentials(shown.certificate))
    }

    async fn find_out(&self, shown: Credentials<'_>) -> Result<Arc<Principal>, Denied> {
        let Some(content) = shown.auth else {
            let principal = self.without_credentials(shown.certificate);
            if principal.is_anonymous() && self.is_required() {
                return Err(Denied::Missing);
            }
            let counter = match principal.is_anonymous() {
                true => &self.metrics.anonymous,
                false => &self.metrics.ok,
            };
            counter.inc();
            return Ok(principal);
        };
        match Auth::decode(content).map_err(|_| Denied::Malformed)? {
            Auth::Bearer(token) => self.bearer(token).await,
            Auth::Simple { username, password } => self.simple(username, password).await,
            Auth::Other { .. } => Err(Denied::Unsupported),
        }
    }

    fn without_credentials(&self, certificate: Option<&TlsIdentity>) -> Arc<Principal> {
        let state = self.state.load();
        match (&state.config.certificates, certificate) {
            (Some(config), Some(certificate)) => certificate::principal(config, certificate),
            _ => Arc::new(Principal::anonymous()),
        }
    }

    async fn bearer(&self, token: &str) -> Result<Arc<Principal>, Denied> {
        let found = match self.verify(token) {
            Err(Denied::UnknownKey) if self.state.load().key_set_url().is_some() => {
                self.wait_for_keys().await;
                self.verify(token)
            }
            found => found,
        };
        found.map(|found| self.count(found))
    }

    fn verify(&self, token: &str) -> Result<Found, Denied> {
        self.state.load().verify(token, SystemTime::now())
    }

    fn count(&self, found: Found) -> Arc<Principal> {
        if !found.without_expiry {
            self.metrics.ok.inc();
            return found.principal;
        }
        self.metrics.ok_without_expiry.inc();
        if found.fresh && self.may_log("without expiry") {
            let subject = &found.principal.subject;
            tracing::warn!(subject, "a token without expiry was accepted");
        }
        found.principal
    }

    /// Until the key set was fetched, or was not. Those who wait at the same time wait for the same
    /// answer, and nobody makes it be fetched more often than it may be.
    async fn wait_for_keys(&self) {
        let mut tried = self.keys_tried.subscribe();
        self.keys_wanted.notify_one();
        // Nothing came in time: the token is looked at by the keys there are.
        let _ = timeout(PATIENCE, tried.changed()).await;
    }

    async fn simple(&self, name: &str, password: &str) -> Result<Arc<Principal>, Denied> {
        let state = self.state.load_full();
        if state.config.users.is_none() {
            return Err(Denied::Unsupported);
        }
        if name.len() > NAME_MAX || password.len() > NAME_MAX {
            return Err(Denied::TooLong);
        }
        let hash = simple_hash(name, password);
        let now = SystemTime::now();
        if let Some(principal) = state.cache.find(&hash, now) {
            self.metrics.ok.inc();
            return Ok(principal);
        }
        let permit = timeout(PATIENCE, Arc::clone(&self.passwords).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Denied::Busy);
        };
        let (name, password) = (name.to_owned(), password.to_owned());
        let checking = Arc::clone(&state);
        let check = move || {
            // Whoever stops waiting does not stop the work, so the place is the work's.
            let _permit = permit;
            checking.users.verify(&name, &password)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        let principal = checked.ok().flatten().ok_or(Denied::Password)?;
        state.cache.remember(hash, &principal, now);
        self.metrics.ok.inc();
        Ok(principal)
    }

    // ---- by a plugin's word

    /// A plugin vouches for whoever opens a connection, or makes a request.
    pub fn vouched(&self, voucher: Voucher) -> Arc<Principal> {
        self.metrics.ok.inc();
        Arc::new(Principal::vouched(voucher, SystemTime::now()))
    }

    /// A plugin said no, or could not say yes.
    pub fn not_vouched(&self, peer: Peer) {
        self.metrics.denied(Denied::Plugin);
        if self.may_log("RST-500405") {
            tracing::warn!(code = "RST-500405", %peer, outcome = "plugin", "credentials were not accepted; refused");
        }
    }

    // ---- of one request

    /// Whether credentials in a request's own metadata count.
    pub fn is_per_request(&self) -> bool {
        self.state.load().config.per_request
    }

    /// Who asks for one request. It does not wait: tokens by keys that are not known are refused,
    /// and a password is accepted only while it is remembered from a connection.
    pub fn of_request(&self, content: &[u8]) -> Result<Arc<Principal>, Denied> {
        let state = self.state.load();
        let now = SystemTime::now();
        let found = match Auth::decode(content) {
            Err(_) => Err(Denied::Malformed),
            Ok(Auth::Bearer(token)) => state.verify(token, now).map(|found| self.count(found)),
            Ok(Auth::Simple { username, password }) => {
                let hash = simple_hash(username, password);
                state.cache.find(&hash, now).ok_or(Denied::Password)
            }
            Ok(Auth::Other { .. }) => Err(Denied::Unsupported),
        };
        found.inspect_err(|denied| {
            self.metrics.denied(*denied);
            if *denied == Denied::UnknownKey {
                self.keys_wanted.notify_one();
            }
        })
    }

    // ---- what

    /// Changes with the rules.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn judge(&self, who: &Principal, right: Right, service: &str, method: &str) -> Judgement {
        self.state.load().policy.judge(who, right, service, method)
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.state.load().policy.is_open()
    }

    /// Whether what somebody was let in by has been taken back since.
    pub fn takes_back(&self, principal: &Principal) -> bool {
        self.state.load().takes_back(principal)
    }

    // ---- changes

    /// Reads what another configuration names, or says why it cannot be used.
    pub fn prepare(&self, config: Config) -> Result<Prepared, FileError> {
        self.build(config, &self.lock_fetched()).map(Prepared)
    }

    /// From now on that one holds.
    pub fn put_into_effect(&self, prepared: Prepared) {
        self.store(prepared.0);
    }

    /// Reads the files again.
    pub(super) fn reread(&self) -> Result<(), FileError> {
        let fetched = self.lock_fetched();
        let config = self.state.load().config.clone();
        self.store(self.build(config, &fetched)?);
        Ok(())
    }

    /// The key set of `url` has been fetched.
    pub(super) fn set_fetched(&self, url: &str, keys: Vec<Key>) -> Result<(), FileError> {
        let mut fetched = self.lock_fetched();
        *fetched = Fetched {
            url: url.to_owned(),
            keys,
        };
        let config = self.state.load().config.clone();
        self.store(self.build(config, &fetched)?);
        Ok(())
    }

    /// Whether or not it was of use.
    pub(super) fn keys_tried(&self) {
        self.keys_tried.send_modify(|tried| *tried += 1);
    }

    pub(super) fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    fn build(&self, config: Config, fetched: &Fetched) -> Result<State, FileError> {
        let source = config.jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref());
        let same = matches!(source, Some(JwksSource::Url { url, .. }) if *url == fetched.url);
        State::build(config, if same { &fetched.keys } else { &[] })
    }

    fn store(&self, new: State) {
        let rules_changed = self.state.load().policy != new.policy;
        self.state.store(Arc::new(new));
        if rules_changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn lock_fetched(&self) -> std::sync::MutexGuard<'_, Fetched> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_log(&self, code: &'static str) -> bool {
        self.lines.pass(code, Instant::now()).is_some()
    }
}

/// A configuration that has been read, and is not in effect yet.
#[derive(Debug)]
pub struct Prepared(State);

/// Why there is no identity room.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// A token never begins with a zero byte, so no token is remembered as a password.
fn simple_hash(name: &str, password: &str) -> [u8; 32] {
    token_hash(&format!("\0{}\0{name}{password}", name.len()))
}
