//! How a caller encodes its arguments, and how it wants its answer.

use jackfield_rsocket::{
    endpoint::{Failure, Message},
    metadata::{
        AcceptMimeTypes, Composite, CompositeBuilder, Mime, decode_mime_type, encode_mime_type,
    },
};

use super::{hessian, value::Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Hessian,
    Json,
    /// The first argument as it is.
    Text,
}

/// How one request is written, and how its answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encodings {
    request: Encoding,
    answer: Encoding,
}

impl Encoding {
    fn of(mime: Mime) -> Option<Self> {
        match mime {
            Mime::HESSIAN => Some(Self::Hessian),
            Mime::JSON => Some(Self::Json),
            Mime::TEXT | Mime::OCTET_STREAM => Some(Self::Text),
            _ => None,
        }
    }

    const fn mime(self) -> Mime {
        match self {
            Self::Hessian => Mime::HESSIAN,
            Self::Json => Mime::JSON,
            Self::Text => Mime::TEXT,
        }
    }
}

impl Encodings {
    /// From a request's metadata. What is unknown is JSON, or what looks like something else.
    pub(super) fn of(metadata: &[u8], data: &[u8]) -> Self {
        let mut stated = None;
        let mut accepted = None;
        for entry in Composite::new(metadata).filter_map(Result::ok) {
            if entry.is(Mime::MIME_TYPE) {
                let mime = decode_mime_type(entry.content).ok();
                stated = stated.or(mime.and_then(|mime| mime.well_known()));
            } else if entry.is(Mime::ACCEPT_MIME_TYPES) {
                let known = |mime: Result<jackfield_rsocket::metadata::EntryMime<'_>, _>| {
                    Encoding::of(mime.ok()?.well_known()?)
                };
                accepted = accepted.or(AcceptMimeTypes::new(entry.content).find_map(known));
            }
        }
        let request = match stated.and_then(Encoding::of) {
            // Clients that say nothing, or that their data is bytes, write JSON by hand.
            None | Some(Encoding::Text) if looks_like_json(data) => Encoding::Json,
            None => Encoding::Json,
            Some(encoding) => encoding,
        };
        Self {
            request,
            answer: accepted.unwrap_or(match request {
                Encoding::Text => Encoding::Json,
                encoding => encoding,
            }),
        }
    }

    /// The arguments of a call.
    pub(super) fn arguments(self, data: &[u8]) -> Result<Vec<Value>, Failure> {
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let bad = |why: &str| Failure::invalid(format!("RST-900500: arguments: {why}"));
        let value = match self.request {
            Encoding::Hessian => hessian::decode(data).map_err(bad)?,
            Encoding::Json => serde_json::from_slice::<serde_json::Value>(data)
                .map_err(|error| bad(&error.to_string()))?
                .into(),
            Encoding::Text => std::str::from_utf8(data)
                .map_err(|error| bad(&error.to_string()))?
                .into(),
        };
        Ok(match value {
            Value::List(arguments) => arguments,
            // A lone argument needs no list around it.
            one => vec![one],
        })
    }

    /// The answer, with what it is encoded in.
    pub(super) fn answer(self, value: &Value) -> Result<Message, Failure> {
        let data = match (self.answer, value) {
            // Nothing is no bytes, for a Java client.
            (Encoding::Hessian, Value::Null) => Vec::new(),
            (Encoding::Hessian, value) => hessian::encode(value),
            (Encoding::Text, Value::Text(text)) => text.clone().into_bytes(),
            (Encoding::Json | Encoding::Text, value) => {
                serde_json::Value::from(value).to_string().into_bytes()
            }
        };
        let mime = encode_mime_type(self.answer.mime());
        let metadata = CompositeBuilder::new().try_push(Mime::MIME_TYPE, mime);
        let metadata = metadata.finish().map_err(internal)?;
        Ok(Message::new(data).with_metadata(metadata))
    }
}

fn looks_like_json(data: &[u8]) -> bool {
    matches!(data.trim_ascii_start().first(), Some(b'[' | b'{' | b'"'))
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::application(format!("RST-900500: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(stated: Option<Mime>, accepted: &[Mime]) -> Vec<u8> {
        let mut builder = CompositeBuilder::new();
        if let Some(mime) = stated {
            builder = builder.push(Mime::MIME_TYPE, &[mime.id() | 0x80]);
        }
        if !accepted.is_empty() {
            let ids: Vec<u8> = accepted.iter().map(|mime| mime.id() | 0x80).collect();
            builder = builder.push(Mime::ACCEPT_MIME_TYPES, &ids);
        }
        builder.finish().unwrap().to_vec()
    }

    #[test]
    fn the_caller_decides() {
        use Encoding::{Hessian, Json, Text};
        let java = [Mime::HESSIAN, Mime::JAVA_OBJECT, Mime::JSON];
        for (stated, accepted, data, request, answer) in [
            (Some(Mime::HESSIAN), &java[..], &b""[..], Hessian, Hessian),
            (Some(Mime::HESSIAN), &[], b"", Hessian, Hessian),
            (Some(Mime::HESSIAN), &[Mime::JSON], b"", Hessian, Json),
            (Some(Mime::JSON), &[], b"[1]", Json, Json),
            (
                Some(Mime::JSON),
                &[Mime::PROTOBUF, Mime::HESSIAN],
                b"",
                Json,
                Hessian,
            ),
            (Some(Mime::TEXT), &[], b"orders", Text, Json),
            (Some(Mime::TEXT), &[Mime::TEXT], b"orders", Text, Text),
            (Some(Mime::OCTET_STREAM), &[], b" [\"*\"]", Json, Json),
            (Some(Mime::PROTOBUF), &[Mime::PROTOBUF], b"", Json, Json),
            (None, &[], b"[]", Json, Json),
        ] {
            let found = Encodings::of(&metadata(stated, accepted), data);
            assert_eq!(
                found,
                Encodings { request, answer },
                "{stated:?} {accepted:?}"
            );
        }
    }

    #[test]
    fn arguments_and_answers() {
        let json = Encodings::of(&metadata(Some(Mime::JSON), &[]), b"");
        for (data, arguments) in [
            (&b""[..], vec![]),
            (b"[]", vec![]),
            (b"[\"a\", 1]", vec!["a".into(), Value::Int(1)]),
            (b"\"a\"", vec!["a".into()]),
        ] {
            assert_eq!(json.arguments(data).unwrap(), arguments);
        }
        assert!(
            json.arguments(b"[")
                .unwrap_err()
                .text
                .starts_with("RST-900500: ")
        );
        let answer = json.answer(&Value::List(vec!["a".into()])).unwrap();
        assert_eq!(answer.data, "[\"a\"]");
        assert_eq!(answer.metadata.unwrap()[..], b"\xFA\x00\x00\x01\x85"[..]);

        let java = Encodings::of(&metadata(Some(Mime::HESSIAN), &[]), b"");
        assert_eq!(
            java.arguments(b"\x71\x07[object\x01*").unwrap(),
            ["*".into()]
        );
        assert_eq!(java.answer(&Value::Int(1)).unwrap().data, &b"\x91"[..]);
        assert!(java.answer(&Value::Null).unwrap().data.is_empty());
    }
}
