//! Lets in who knows a token.

use jackfield_plugin_sdk::{
    Authenticator, Plugin,
    auth::{Applicant, Outcome, Principal},
    plugin,
};
use serde::Deserialize;

/// What the operator writes in `[plugin.settings]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token: String,
}

struct Own(Settings);

impl Plugin for Own {
    type Settings = Settings;

    /// Runs once, before the first app. What it refuses is never put to work.
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }
}

impl Authenticator for Own {
    /// Runs at each SETUP. A refusal goes to the app, so it tells a guesser nothing.
    fn authenticate(&self, applicant: &Applicant) -> Outcome {
        match applicant.bearer() {
            None => Outcome::Abstain,
            Some(token) if token == self.0.token => {
                Outcome::Admit(Principal::new(&applicant.app).attribute("role", "caller"))
            }
            Some(_) => Outcome::refuse("who are you?"),
        }
    }
}

plugin!(Own: Authenticator);
