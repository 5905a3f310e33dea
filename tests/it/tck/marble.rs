//! What one side sends, drawn: `ab-c|` is three items and an end, `#` an error. A dash is time in the
//! kit's own drivers and nothing here: the order is what counts.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use jackfield_rsocket::{
    endpoint::{Failure, Message},
    metadata::{Composite, CompositeBuilder, Mime},
};
use serde_json::Value;

/// The data and metadata of one message, as scripts write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) data: String,
    pub(crate) metadata: String,
}

impl Item {
    pub(crate) fn new(data: &str, metadata: &str) -> Self {
        Self {
            data: data.to_owned(),
            metadata: metadata.to_owned(),
        }
    }

    /// As a message; metadata is composite on these connections, and leads with `route` if any.
    pub(super) fn message(&self, route: Option<&str>) -> Message {
        let mut builder = CompositeBuilder::new();
        if let Some(route) = route {
            builder = builder.route(route);
        }
        let metadata = builder.push(Mime::TEXT, self.metadata.as_bytes()).finish();
        Message::new(Bytes::from(self.data.clone())).with_metadata(metadata.expect("short names"))
    }

    pub(super) fn read(message: &Message) -> Self {
        let entry = Composite::new(message.metadata.as_deref().unwrap_or_default())
            .find_mime(Mime::TEXT)
            .ok()
            .flatten();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            data: text(&message.data),
            metadata: text(entry.map_or(&[], |entry| entry.content)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marble {
    pub(crate) items: Vec<Item>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    Complete,
    Error,
}

impl Marble {
    /// `MARBLE` or `MARBLE&&{"a": {"data": "metadata"}, ...}`. An item that is not named stands for
    /// itself, as data and as metadata.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (marble, names) = text.split_once("&&").unwrap_or((text, "{}"));
        let names: Value = serde_json::from_str(names).map_err(|error| error.to_string())?;
        let mut items = Vec::new();
        for mark in marble.trim().chars() {
            match mark {
                '-' => {}
                '|' => return Ok(Self::ending(items, End::Complete)),
                '#' => return Ok(Self::ending(items, End::Error)),
                mark if mark.is_ascii_alphanumeric() => {
                    items.push(item(&names, &mark.to_string()));
                }
                mark => return Err(format!("{mark:?} is nothing in a marble")),
            }
        }
        Ok(Self::ending(items, End::Never))
    }

    const fn ending(items: Vec<Item>, end: End) -> Self {
        Self { items, end }
    }

    /// Its items as credit pulls them. `gone` learns whether it was dropped before its end.
    pub(super) fn play<F: FnMut(bool)>(self, gone: F) -> Playing<F> {
        Playing {
            items: self.items.into_iter(),
            end: self.end,
            whole: false,
            gone,
        }
    }
}

fn item(names: &Value, mark: &str) -> Item {
    let named = names[mark].as_object().and_then(|pair| pair.iter().next());
    named.map_or_else(
        || Item::new(mark, mark),
        |(data, metadata)| Item::new(data, metadata.as_str().unwrap_or_default()),
    )
}

pub(super) struct Playing<F: FnMut(bool)> {
    items: std::vec::IntoIter<Item>,
    end: End,
    whole: bool,
    gone: F,
}

/// The error of every `#`.
pub(super) const FAILURE: &str = "as the marble says";

impl<F: FnMut(bool) + Unpin> Stream for Playing<F> {
    type Item = Result<Message, Failure>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(item) = this.items.next() {
            return Poll::Ready(Some(Ok(item.message(None))));
        }
        match this.end {
            // Nothing will ever wake it; who does not want to wait drops it.
            End::Never => Poll::Pending,
            End::Complete => {
                this.whole = true;
                Poll::Ready(None)
            }
            End::Error => {
                this.whole = true;
                this.end = End::Complete;
                Poll::Ready(Some(Err(Failure::application(FAILURE))))
            }
        }
    }
}

impl<F: FnMut(bool)> Drop for Playing<F> {
    fn drop(&mut self) {
        (self.gone)(self.whole);
    }
}

#[test]
fn marbles_are_items_and_an_end() {
    let marble = Marble::parse(r#"--a-b-|&&{"b":{"bart":"simpson"}}"#).expect("a marble");
    let items = vec![Item::new("a", "a"), Item::new("bart", "simpson")];
    assert_eq!(marble, Marble::ending(items, End::Complete));
    assert_eq!(Marble::parse("-").expect("one").end, End::Never);
    assert_eq!(Marble::parse("a-#").expect("one").end, End::Error);
    assert!(Marble::parse("a?").is_err());
}
