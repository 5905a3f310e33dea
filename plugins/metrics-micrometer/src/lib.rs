//! Fetches metrics from Micrometer's Prometheus RSocket clients, which say nothing of themselves and wait to be asked.
//!
//! ```toml
//! [[listen]]
//! uri = "tcp://127.0.0.1:7001"       # where they look for their proxy
//! scrape-only = "micrometer"         # their `job`
//! [[plugin]]
//! name = "metrics-micrometer"
//! file = "builtin:metrics-micrometer"
//! deadline = "200ms"                 # what a private key takes
//! [plugin.settings]
//! key = "-----BEGIN PRIVATE KEY-----\n..."    # optional: RSA, 2048 bits or more
//! ```
//!
//! The client does as the data of a request says: `plaintext`, or a public key that it encrypts its page for. Only who
//! was given a key sends its metrics once more before it ends, so that is what a key is for. It is no substitute for
//! TLS: each page is encrypted as the client does it, AES in ECB mode behind Snappy, and nobody proves who he is.

mod sealed;

use jackfield_plugin_sdk::{
    App, MetricsCollector, Payload, Plugin, plugin,
    scrape::{Header, Interaction, Part, Question, Scrape},
};
use sealed::Key;
use serde::Deserialize;

const PLAINTEXT: &[u8] = b"plaintext";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    key: Option<String>,
}

struct Micrometer {
    key: Option<Key>,
}

impl Plugin for Micrometer {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let key = settings.key.as_deref().map(Key::from_pem).transpose()?;
        Ok(Self { key })
    }
}

impl Micrometer {
    fn question(&self, app: &App, interaction: Interaction) -> Option<Question> {
        let scrape_only = app.metadata.iter().any(|(key, _)| key == "_scrape_only");
        scrape_only.then(|| Question {
            interaction,
            header: Header::Nothing,
            data: { self.key.as_ref() }
                .map_or(PLAINTEXT, Key::public)
                .to_vec(),
            context: Vec::new(),
            review: false,
        })
    }

    fn page(&self, said: Payload) -> Result<Part, String> {
        match (said.metadata.as_deref(), &self.key) {
            (Some(PLAINTEXT), _) => Ok(Part::text(said.data)),
            (Some(wrapped), Some(key)) => key.open(wrapped, &said.data).map(Part::text),
            _ => Err("it answers with what is not plain text, and was given no key".into()),
        }
    }
}

impl MetricsCollector for Micrometer {
    /// A client may wait for this before it goes on, and needs a key early if it ends before it was ever asked.
    fn greet(&self, app: &App) -> Option<Question> {
        self.question(app, Interaction::FireAndForget)
    }

    fn ask(&self, app: &App, _: &Scrape) -> Option<Question> {
        self.question(app, Interaction::RequestResponse)
    }

    fn read(&self, _: &App, _: Vec<u8>, reply: Payload) -> Result<Part, String> {
        self.page(reply)
    }

    /// What it sends before it ends, in the form of its answers.
    fn on_push(&self, app: &App, pushed: Payload) -> Result<Option<Part>, String> {
        match self.greet(app) {
            Some(_) => self.page(pushed).map(Some),
            None => Ok(None),
        }
    }
}

plugin!(Micrometer: MetricsCollector);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{app, configured, scrape};

    use super::*;
    use crate::sealed::tests::{DATA, PEM, WRAPPED, hex};

    const PAGE: &str = "# TYPE a gauge\na 1.0\n";

    fn client() -> App {
        App {
            metadata: vec![("_scrape_only".into(), "1".into())],
            ..app("micrometer")
        }
    }

    fn said(metadata: &[u8], data: &[u8]) -> Payload {
        Payload {
            metadata: Some(metadata.into()),
            data: data.into(),
        }
    }

    #[test]
    fn without_a_key_it_asks_for_plain_text() {
        let it = configured::<Micrometer>("{}").unwrap();
        assert_eq!(it.ask(&app("orders"), &scrape()), None);
        let question = it.ask(&client(), &scrape()).unwrap();
        assert_eq!(
            (question.header, &question.data[..]),
            (Header::Nothing, PLAINTEXT)
        );
        let page = it.read(&client(), Vec::new(), said(PLAINTEXT, PAGE.as_bytes()));
        assert_eq!(page, Ok(Part::text(PAGE)));
        let sealed = it.read(&client(), Vec::new(), said(&hex(WRAPPED), &hex(DATA)));
        assert!(sealed.unwrap_err().contains("was given no key"));
    }

    #[test]
    fn with_a_key_it_reads_answers_and_last_words() {
        let settings = format!("{{\"key\": {:?}}}", PEM);
        let it = configured::<Micrometer>(&settings).unwrap();
        let greeting = it.greet(&client()).unwrap();
        assert_eq!(greeting.interaction, Interaction::FireAndForget);
        assert_eq!(greeting.data[0], 0x30, "a public key in DER");
        let sealed = || said(&hex(WRAPPED), &hex(DATA));
        let read = it.read(&client(), Vec::new(), sealed());
        assert_eq!(read, Ok(Part::text(PAGE)));
        assert_eq!(it.on_push(&client(), sealed()), Ok(Some(Part::text(PAGE))));
        assert_eq!(it.on_push(&app("orders"), sealed()), Ok(None));
    }

    #[test]
    fn a_key_has_to_be_one() {
        let error = configured::<Micrometer>(r#"{"key": "secret"}"#);
        assert!(error.err().unwrap().contains("no private RSA key in PEM"));
    }
}
