//! What the broker adds to the metadata of a request: how its data is encoded, for a responder of
//! the archived broker's library that could not read it otherwise; and who asks, for a part of the
//! broker.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    metadata::{Composite, CompositeBuilder, Edit, EntryMime, Mime},
    wire::Interaction,
};

use super::{
    dispatch::Asked,
    handle::{Handle, LinkId},
    introduction::MetadataKind,
    item::RequestPart,
    link::Link,
    refusal::Refusal,
    verdict::METADATA_OVERHEAD,
};
use crate::directory::Instance;

/// The entry that tells a part of the broker who asks. It is always the first, so that what a caller
/// writes is never taken for it.
const CALLER: &str = "message/x.jackfield.caller.v0";

/// Who asks a part of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub link: LinkId,
    /// Of the application; none if it is anonymous.
    pub uuid: Option<String>,
}

impl Caller {
    /// From the metadata of a request that was delivered to a part of the broker.
    pub fn of(metadata: &[u8]) -> Option<Self> {
        let first = Composite::new(metadata).next()?.ok()?;
        if first.mime != EntryMime::Named(CALLER) {
            return None;
        }
        let (link, uuid) = first.content.split_first_chunk()?;
        let uuid = std::str::from_utf8(uuid).ok()?;
        Some(Self {
            link: LinkId(u64::from_be_bytes(*link)),
            uuid: (!uuid.is_empty()).then(|| uuid.to_owned()),
        })
    }

    fn content(&self) -> Vec<u8> {
        let mut content = self.link.0.to_be_bytes().to_vec();
        content.extend_from_slice(self.uuid.as_deref().unwrap_or_default().as_bytes());
        content
    }
}

impl Link {
    /// The metadata that an instance is to read, if it is not what the caller wrote. `rewritten` is what
    /// a plugin made of it.
    pub(super) fn dressed(
        &self,
        to: &Instance<Arc<Handle>>,
        rewritten: Option<Bytes>,
        request: &Asked<'_>,
    ) -> Result<Option<Bytes>, Refusal> {
        let client = &to.app.client;
        if !client.builtin && !client.wants_encoding {
            return Ok(rewritten);
        }
        let before = rewritten.as_deref().unwrap_or(request.metadata);
        let encoding = self.encoding.filter(|_| request.whole);
        let dressed = match (client.builtin, encoding, self.metadata_kind) {
            (true, encoding, kind) => self.introduced(before, encoding, kind),
            // The archived broker leaves channels as they are.
            (false, Some(encoding), MetadataKind::Composite)
                if request.interaction != Interaction::Channel && !has_encoding(before) =>
            {
                let data_encoding = Some(EntryMime::WellKnown(encoding));
                Edit {
                    route: None,
                    data_encoding,
                }
                .apply(before)
            }
            _ => return Ok(rewritten),
        };
        let dressed = dressed.map_err(|error| Refusal::BadMetadata(error.to_string()))?;
        if dressed.len() + METADATA_OVERHEAD > self.plane.limits.frame {
            return Err(Refusal::MetadataTooLong);
        }
        Ok(Some(dressed))
    }

    /// A whole request that goes to another instance than it was made for, which may have to be told more.
    pub(super) fn dressed_again(
        &self,
        to: &Instance<Arc<Handle>>,
        request: RequestPart,
    ) -> Result<RequestPart, Refusal> {
        let Some((metadata, data)) = request.parts() else {
            return Ok(request);
        };
        // A part of the broker has been told who asks.
        if to.app.client.builtin {
            return Ok(request);
        }
        let asked = Asked {
            interaction: request.interaction,
            metadata,
            whole: true,
            partial: false,
        };
        let Some(dressed) = self.dressed(to, None, &asked)? else {
            return Ok(request);
        };
        let (metadata, data) = (dressed, Bytes::copy_from_slice(data));
        match request.with_metadata(&metadata, &data, self.plane.limits.frame) {
            (whole, None) => Ok(whole),
            (_, Some(_)) => Err(Refusal::MetadataTooLong),
        }
    }

    /// Metadata for a part of the broker: the caller first, then what it wrote.
    fn introduced(
        &self,
        metadata: &[u8],
        encoding: Option<Mime>,
        kind: MetadataKind,
    ) -> Result<Bytes, jackfield_rsocket::metadata::MetadataError> {
        let caller = Caller {
            link: self.me.id,
            uuid: self.instance.as_ref().map(|it| it.app.uuid.clone()),
        };
        let mut builder = CompositeBuilder::new().push(CALLER, &caller.content());
        if kind == MetadataKind::Routing {
            builder = builder.push(Mime::ROUTING, metadata);
        } else if let Some(encoding) = encoding.filter(|_| !has_encoding(metadata)) {
            builder = builder.push(Mime::MIME_TYPE, &[encoding.id() | 0x80]);
        }
        let mut dressed = BytesMut::from(&builder.finish()?[..]);
        if kind == MetadataKind::Composite {
            dressed.extend_from_slice(metadata);
        }
        Ok(dressed.freeze())
    }
}

fn has_encoding(metadata: &[u8]) -> bool {
    let entry = Composite::new(metadata).find_mime(Mime::MIME_TYPE);
    // What cannot be read is not added to either.
    !matches!(entry, Ok(None))
}
