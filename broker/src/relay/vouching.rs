//! Plugins of the hook `authenticator`: asked who opens a connection, before the broker's own rules are, and again before
//! that ends. They run on threads of their own; here is only waited.
//!
//! What a plugin vouched for is renewed with the credentials of SETUP, so these are kept for as long as the connection
//! lives, and only where the plugin wants to be asked again. When it is somebody else then, the connection ends: what it
//! has registered and may do was judged for whom it was.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jackfield_rsocket::metadata::{AppMetadata, Auth, AuthKind, ServiceRegistry};

use super::{
    accept::address,
    errand::Errand,
    handle::{Handle, Order},
    introduction::Entries,
    plane::Plane,
    refusal::Refusal,
};
use crate::{
    chain::{Admitted, Applicant, Credential, Principal as Said, Rights},
    identity::{Credentials, Principal, Right, Voucher},
};

/// A plugin is asked again when so much of the time is left: this part of it, within these bounds.
const MARGIN: u32 = 5;
const MARGIN_MAX: Duration = Duration::from_secs(60);
/// Between two attempts when a plugin could not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts in any case: whoever says that it ends now would be asked without pause.
const PAUSE_LEAST: Duration = Duration::from_millis(200);

/// Who was let in, and how to ask again.
pub(super) struct Vouched {
    pub(super) principal: Arc<Principal>,
    pub(super) applicant: Arc<Applicant>,
}

impl Plane {
    /// Asks the authenticators; none: none has an opinion.
    pub(super) async fn vouch(
        &self,
        entries: &Entries,
        shown: Credentials<'_>,
        transport: &str,
    ) -> Result<Option<Vouched>, Refusal> {
        let chain = self.chains.current();
        if !chain.authenticates() {
            return Ok(None);
        }
        let applicant = applicant(entries, shown, transport);
        let refusal = match chain.authenticate(applicant.clone()).await {
            Admitted::Unknown => return Ok(None),
            Admitted::As(said) => {
                return Ok(Some(Vouched {
                    principal: self.identity.vouched(voucher(said)),
                    applicant: Arc::new(applicant),
                }));
            }
            Admitted::Refused(refusal) => Refusal::NotVouched(refusal.text),
            Admitted::Failed(_) => Refusal::NotAuthenticated,
        };
        self.identity.not_vouched(shown.peer);
        Err(refusal)
    }
}

impl Vouched {
    /// Asks again before the principal ends, for as long as what is returned is kept.
    pub(super) fn renewal(self, me: &Arc<Handle>, plane: &Arc<Plane>) -> Option<Errand> {
        let expires = self.principal.expires?;
        let applicant = Applicant {
            renews: self.principal.subject.to_string(),
            ..Arc::unwrap_or_clone(self.applicant)
        };
        Some(Errand::new(renew(
            applicant,
            (self.principal, expires),
            me.clone(),
            plane.clone(),
        )))
    }
}

async fn renew(
    applicant: Applicant,
    (principal, mut expires): (Arc<Principal>, SystemTime),
    me: Arc<Handle>,
    plane: Arc<Plane>,
) {
    let mut pause = until_asked(expires);
    loop {
        tokio::time::sleep(pause).await;
        let chain = plane.chains.current();
        match chain.authenticate(applicant.clone()).await {
            Admitted::As(said) => {
                let renewed = plane.identity.vouched(voucher(said));
                if !principal.is_renewed_by(&renewed) {
                    return me.give_order(Order::Changed);
                }
                me.renew(renewed.expires);
                match renewed.expires {
                    Some(later) => expires = later,
                    None => return,
                }
                pause = until_asked(expires);
            }
            Admitted::Refused(_) => return me.give_order(Order::TakeBack),
            // Whoever could say may say it later; when nobody does, the connection ends in time.
            Admitted::Unknown | Admitted::Failed(_) => pause = PAUSE,
        }
    }
}

fn until_asked(expires: SystemTime) -> Duration {
    let left = expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    (left - (left / MARGIN).min(MARGIN_MAX)).max(PAUSE_LEAST)
}

fn applicant(entries: &Entries, shown: Credentials<'_>, transport: &str) -> Applicant {
    // What cannot be read is refused after it is known who sends it.
    let app = entries.app.as_deref().map(AppMetadata::decode);
    let app = app.and_then(Result::ok).unwrap_or_default();
    let registry = entries.registry.as_deref().map(ServiceRegistry::decode);
    let registry = registry.and_then(Result::ok).unwrap_or_default();
    let certificate = shown.certificate;
    let credentials = certificate.map(|it| Credential::Certificate(it.der.to_vec()));
    Applicant {
        app: app.name.unwrap_or_default(),
        uuid: app.uuid.unwrap_or_default(),
        address: address(shown.peer).map_or_else(String::new, |ip| ip.to_string()),
        transport: transport.to_owned(),
        credentials: { credentials.into_iter() }
            .chain(shown.auth.and_then(credential))
            .collect(),
        services: registry.published.iter().map(ToString::to_string).collect(),
        metadata: app.metadata.into_iter().collect(),
        renews: String::new(),
    }
}

/// The content of entry 0x7C; none if it cannot be read.
pub(super) fn credential(content: &[u8]) -> Option<Credential> {
    Some(match Auth::decode(content).ok()? {
        Auth::Bearer(token) => Credential::Bearer(token.to_owned()),
        Auth::Simple { username, password } => Credential::Simple {
            user: username.to_owned(),
            password: password.to_owned(),
        },
        Auth::Other { kind, payload } => {
            let kind = match kind {
                AuthKind::WellKnown(number) => number.to_string(),
                AuthKind::Named(name) => name.to_owned(),
            };
            Credential::Custom(kind, payload.to_vec())
        }
    })
}

pub(super) fn voucher(said: Said) -> Voucher {
    let rights = |rights: Rights| {
        let given = [
            (rights.call, Right::Call),
            (rights.publish, Right::Publish),
            (rights.observe, Right::Observe),
        ];
        { given.into_iter() }
            .filter_map(|(given, right)| given.then_some(right))
            .collect()
    };
    Voucher {
        name: said.name,
        attributes: said.attributes,
        rights: said.rights.map(rights),
        lasts: said.expires,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_asked_in_time_and_never_without_pause() {
        let pause = |left: u64| until_asked(SystemTime::now() + Duration::from_secs(left));
        let near = |pause: Duration, secs: f64| (pause.as_secs_f64() - secs).abs() < 0.1;
        assert!(near(pause(1), 0.8) && near(pause(3_600), 3_540.0));
        assert_eq!(pause(0), PAUSE_LEAST);
        assert_eq!(until_asked(SystemTime::UNIX_EPOCH), PAUSE_LEAST);
    }
}
