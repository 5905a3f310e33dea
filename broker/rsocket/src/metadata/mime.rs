//! The MIME types that have a one-byte id, standard and the archived Alibaba broker's, in one table.

use std::fmt;

/// A well-known MIME type by its 7-bit id. Ids without a name are legal and kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mime(u8);

impl Mime {
    pub const AVRO: Self = Self(0x00);
    pub const CBOR: Self = Self(0x01);
    pub const JSON: Self = Self(0x05);
    pub const OCTET_STREAM: Self = Self(0x06);
    pub const PROTOBUF: Self = Self(0x09);
    pub const TEXT: Self = Self(0x21);
    pub const HESSIAN: Self = Self(0x26);
    pub const JAVA_OBJECT: Self = Self(0x27);
    pub const CLOUDEVENTS_JSON: Self = Self(0x28);

    /// Routing as numbers, with the text behind them (archived Alibaba broker).
    pub const BINARY_ROUTING: Self = Self(0x50);
    /// Who an application is, as JSON (archived Alibaba broker).
    pub const APPLICATION: Self = Self(0x51);
    pub const CACHE_CONTROL: Self = Self(0x53);
    /// What an application publishes, as JSON (archived Alibaba broker).
    pub const SERVICE_REGISTRY: Self = Self(0x54);
    pub const MESSAGE_TAGS: Self = Self(0x57);
    pub const MESSAGE_ORIGIN: Self = Self(0x58);

    /// The data MIME type of one stream.
    pub const MIME_TYPE: Self = Self(0x7A);
    pub const ACCEPT_MIME_TYPES: Self = Self(0x7B);
    pub const AUTHENTICATION: Self = Self(0x7C);
    pub const TRACING_ZIPKIN: Self = Self(0x7D);
    pub const ROUTING: Self = Self(0x7E);
    pub const COMPOSITE: Self = Self(0x7F);

    /// The type with this id; only the low seven bits count.
    pub const fn from_id(id: u8) -> Self {
        Self(id & 0x7F)
    }

    pub const fn id(self) -> u8 {
        self.0
    }

    /// The full MIME text, if the id is assigned.
    pub const fn name(self) -> Option<&'static str> {
        NAMES[self.0 as usize]
    }

    /// The type with this full MIME text; case does not count, as everywhere in MIME.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|&(id, _)| Self(id))
    }
}

impl fmt::Debug for Mime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mime({self})")
    }
}

impl fmt::Display for Mime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:02X}", self.0),
        }
    }
}

/// [`TABLE`] turned round, so that a name is one index away.
const NAMES: [Option<&str>; 128] = {
    let mut names = [None; 128];
    let mut at = 0;
    while at < TABLE.len() {
        names[TABLE[at].0 as usize] = Some(TABLE[at].1);
        at += 1;
    }
    names
};

const TABLE: &[(u8, &str)] = &[
    (0x00, "application/avro"),
    (0x01, "application/cbor"),
    (0x02, "application/graphql"),
    (0x03, "application/gzip"),
    (0x04, "application/javascript"),
    (0x05, "application/json"),
    (0x06, "application/octet-stream"),
    (0x07, "application/pdf"),
    (0x08, "application/vnd.apache.thrift.binary"),
    (0x09, "application/vnd.google.protobuf"),
    (0x0A, "application/xml"),
    (0x0B, "application/zip"),
    (0x0C, "audio/aac"),
    (0x0D, "audio/mp3"),
    (0x0E, "audio/mp4"),
    (0x0F, "audio/mpeg3"),
    (0x10, "audio/mpeg"),
    (0x11, "audio/ogg"),
    (0x12, "audio/opus"),
    (0x13, "audio/vorbis"),
    (0x14, "image/bmp"),
    (0x15, "image/gif"),
    (0x16, "image/heic-sequence"),
    (0x17, "image/heic"),
    (0x18, "image/heif-sequence"),
    (0x19, "image/heif"),
    (0x1A, "image/jpeg"),
    (0x1B, "image/png"),
    (0x1C, "image/tiff"),
    (0x1D, "multipart/mixed"),
    (0x1E, "text/css"),
    (0x1F, "text/csv"),
    (0x20, "text/html"),
    (0x21, "text/plain"),
    (0x22, "text/xml"),
    (0x23, "video/H264"),
    (0x24, "video/H265"),
    (0x25, "video/VP8"),
    (0x26, "application/x-hessian"),
    (0x27, "application/x-java-object"),
    (0x28, "application/cloudevents+json"),
    (0x29, "application/x-capnp"),
    (0x2A, "application/x-flatbuffers"),
    // The archived broker's own.
    (0x2B, "application/graphql+json"),
    (0x50, "message/x.rsocket.binary-routing.v0"),
    (0x51, "message/x.rsocket.application+json"),
    // The word is doubled on the wire.
    (0x53, "message/x.rsocket.rsocket.data.cache-control"),
    (0x54, "message/x.rsocket.service.registry.v0+json"),
    (0x57, "message/x.rsocket.message.tags"),
    (0x58, "message/x.rsocket.message.origin"),
    (0x7A, "message/x.rsocket.mime-type.v0"),
    (0x7B, "message/x.rsocket.accept-mime-types.v0"),
    (0x7C, "message/x.rsocket.authentication.v0"),
    (0x7D, "message/x.rsocket.tracing-zipkin.v0"),
    (0x7E, "message/x.rsocket.routing.v0"),
    (0x7F, "message/x.rsocket.composite-metadata.v0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_assigned_id_and_name_lead_to_each_other() {
        for &(id, name) in TABLE {
            assert_eq!(Mime::from_id(id).name(), Some(name));
            assert_eq!(Mime::from_name(name).map(Mime::id), Some(id));
        }
        let named = (0..128)
            .filter(|&id| Mime::from_id(id).name().is_some())
            .count();
        assert_eq!(named, TABLE.len(), "no id is listed twice");
    }

    #[test]
    fn names_ignore_case_and_ids_ignore_the_top_bit() {
        assert_eq!(Mime::from_name("APPLICATION/json"), Some(Mime::JSON));
        assert_eq!(Mime::from_name("application/jsonx"), None);
        assert_eq!(Mime::from_id(0xFE), Mime::ROUTING);
    }

    #[test]
    fn an_unassigned_id_shows_as_a_number() {
        assert_eq!(Mime::from_id(0x60).to_string(), "0x60");
        assert_eq!(Mime::ROUTING.to_string(), "message/x.rsocket.routing.v0");
    }
}
