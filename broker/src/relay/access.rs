//! Who may call what: what the rules say is decided with the route and remembered with it; whether a
//! responder is kin of the caller is looked at for each pick.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use jackfield_rsocket::{
    metadata::{Composite, Mime, Route, RoutingEntries, Service, Target},
    wire::Setup,
};

use super::{
    handle::Handle,
    introduction::{Entries, MetadataKind},
    link::Link,
    plane::Plane,
    refusal::Refusal,
    vouching::Vouched,
};
use crate::{
    directory::Instance,
    identity::{Credentials, Judgement, Principal, Right},
};

/// Which instances of a service a caller may be connected to.
#[derive(Clone, Debug)]
pub(super) enum Access {
    Anyone,
    /// Those that are kin of the caller.
    KinOf(Arc<Principal>),
    Nobody,
}

impl Access {
    pub(super) const fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    pub(super) fn admits(&self, instance: &Instance<Arc<Handle>>) -> bool {
        match self {
            Self::Anyone => true,
            Self::KinOf(caller) => caller.is_kin_of(&instance.link.principal),
            Self::Nobody => false,
        }
    }
}

impl Plane {
    /// Who opens a connection with this SETUP: whom a plugin vouches for, or else whom the broker itself knows.
    pub(super) async fn admit(
        &self,
        setup: &Setup<'_>,
        shown: Credentials<'_>,
        transport: &str,
    ) -> Result<(Entries, Arc<Principal>, Option<Vouched>), Refusal> {
        let entries = Entries::of(setup)?;
        let auth = entries.auth.as_deref();
        let shown = Credentials { auth, ..shown };
        let (principal, vouched) = self.recognise(&entries, shown, transport).await?;
        Ok((entries, principal, vouched))
    }

    /// The same for whoever is not on a connection of RSocket, and shows nothing but credentials.
    pub(super) async fn admit_shown(
        &self,
        shown: Credentials<'_>,
        transport: &str,
    ) -> Result<Arc<Principal>, Refusal> {
        let entries = Entries {
            auth: shown.auth.map(Bytes::copy_from_slice),
            ..Entries::default()
        };
        let (principal, _) = self.recognise(&entries, shown, transport).await?;
        Ok(principal)
    }

    async fn recognise(
        &self,
        entries: &Entries,
        shown: Credentials<'_>,
        transport: &str,
    ) -> Result<(Arc<Principal>, Option<Vouched>), Refusal> {
        if let Some(vouched) = self.vouch(entries, shown, transport).await? {
            return Ok((vouched.principal.clone(), Some(vouched)));
        }
        let admitted = self.identity.admit(shown).await;
        let principal = admitted.map_err(|_| Refusal::NotAuthenticated)?;
        Ok((principal, None))
    }

    pub(super) fn check_publish(
        &self,
        who: &Principal,
        services: &[Service],
    ) -> Result<(), Refusal> {
        let refused = |service: &&Service| {
            let judged = self
                .identity
                .judge(who, Right::Publish, service.service(), "");
            judged == Judgement::Refused
        };
        match services.iter().find(refused) {
            Some(service) => Err(Refusal::MayNotPublish(service.to_string())),
            None => Ok(()),
        }
    }
}

impl Link {
    /// Who asks: the connection's principal, unless the request that is being decided shows another.
    pub(super) fn caller(&self) -> &Arc<Principal> {
        self.on_behalf.as_ref().unwrap_or(&self.me.principal)
    }

    pub(super) fn access(&self, service: &str, method: &str) -> Access {
        let caller = self.caller();
        match self
            .plane
            .identity
            .judge(caller, Right::Call, service, method)
        {
            Judgement::Allowed => Access::Anyone,
            Judgement::Refused => Access::Nobody,
            Judgement::AmongKin => Access::KinOf(caller.clone()),
        }
    }

    /// A request may name what it asks for three times: by the text of 0x7E, by that of 0x50, and by
    /// number. The broker decides by one, and the responder perhaps by another; where anybody is
    /// refused anything they must say the same.
    pub(super) fn check_one_voice(
        &self,
        entries: &RoutingEntries<'_>,
        target: &Target<'_>,
    ) -> Result<(), Refusal> {
        let (Some(route), Some(binary)) = (target.route, target.binary) else {
            return Ok(());
        };
        if self.plane.identity.is_open() {
            return Ok(());
        }
        let said =
            |other: &Route<'_>| (other.service, other.method) == (route.service, route.method);
        let text = entries.text.map(|entry| Route::from_tags(entry.content));
        let text = text.and_then(Result::ok).flatten();
        let same = text.as_ref().is_none_or(said)
            && (binary.text.is_empty() || said(&Route::parse(binary.text)))
            && (binary.handler_id == 0 || binary.handler_id == route.handler_id());
        match same {
            true => Ok(()),
            false => Err(Refusal::BadMetadata(
                "entries 0x7E and 0x50 name different methods".into(),
            )),
        }
    }

    /// Notes on whose behalf a request is made: entry 0x7C of its own metadata, if that counts here. Gives the entry when
    /// plugins have to be asked.
    pub(super) fn note_caller(&mut self, metadata: &[u8]) -> Result<Option<Bytes>, Refusal> {
        self.on_behalf = None;
        // Bare routing metadata has no place for an entry.
        let bare = self.metadata_kind != MetadataKind::Composite;
        if bare || !self.plane.identity.is_per_request() {
            return Ok(None);
        }
        let bad = |error: jackfield_rsocket::metadata::MetadataError| {
            Refusal::BadMetadata(error.to_string())
        };
        let mut shown = None;
        for entry in Composite::new(metadata) {
            let entry = entry.map_err(bad)?;
            // Of two the responder might read the other one.
            if entry.is(Mime::AUTHENTICATION) && shown.replace(entry.content).is_some() {
                let what = "a request has one entry 0x7C at most";
                return Err(Refusal::BadMetadata(what.into()));
            }
        }
        let Some(shown) = shown else {
            return Ok(None);
        };
        let chain = self.plane.chains.load();
        let said = if chain.authenticates() {
            match self.speakers.find(shown, chain.generation(), self.now) {
                Some(said) => said,
                None => return Ok(Some(Bytes::copy_from_slice(shown))),
            }
        } else {
            self.plane.identity.of_request(shown).ok()
        };
        self.on_behalf = Some(said.ok_or(Refusal::RequestNotAuthenticated)?);
        Ok(None)
    }

    /// By our clock that only goes forward; none: never.
    pub(super) fn moment_of(&self, expires: SystemTime) -> Option<Instant> {
        let left = expires
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        self.now.checked_add(left)
    }
}
