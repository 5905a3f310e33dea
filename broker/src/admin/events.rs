//! What has happened, as a list and as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::get,
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::chain::{Journal, Read, shown};

use super::{
    api::Answer,
    faces::Room,
    openapi::{one_of, sequence},
    operators::Role,
    reply::Refusal,
    route::Route,
};

/// A comment is sent so often, so that nobody on the way takes a quiet stream for a dead one.
const QUIET: Duration = Duration::from_secs(15);
const LAST_EVENT: &str = "last-event-id";

pub(super) fn routes() -> [Route; 2] {
    let after = "Only events behind this sequence number";
    [
        Route::new(
            Method::GET,
            "/api/v1/events",
            Role::Read,
            "The last things that happened",
            get(events),
        )
        .query("after", sequence(), after)
        .answers(one_of("Events"))
        .refuses(400, "The sequence number is none"),
        Route::new(
            Method::GET,
            "/api/v1/events/stream",
            Role::Read,
            "The same as server-sent events, and what happens from now on",
            get(stream),
        )
        .query("after", sequence(), after)
        .with(200, "text/event-stream")
        .answers(json!({ "type": "string" }))
        .refuses(400, "The sequence number is none"),
    ]
}

async fn events(State(room): State<Arc<Room>>, RawQuery(query): RawQuery) -> Answer {
    let after = after(query.as_deref(), None)?;
    let Read { events, lost } = room.handles.journal.since(after);
    let events: Vec<Value> = events.iter().map(|event| shown(event)).collect();
    Ok(Json(json!({ "events": events, "lost": lost })))
}

async fn stream(
    State(room): State<Arc<Room>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let last = headers.get(LAST_EVENT).and_then(|last| last.to_str().ok());
    let journal = Arc::clone(&room.handles.journal);
    let reader = Reader {
        after: after(query.as_deref(), last)?,
        newest: journal.newest(),
        journal,
    };
    let chunks = stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((Ok::<_, Infallible>(chunk), reader))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    let events = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, events);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// One that looks. It is asked for more when its socket takes more, and what it misses meanwhile it is told of.
struct Reader {
    after: u64,
    journal: Arc<Journal>,
    newest: watch::Receiver<u64>,
}

impl Reader {
    /// The next chunk; none when the broker ends.
    async fn next(&mut self) -> Option<String> {
        loop {
            self.newest.mark_unchanged();
            let Read { events, lost } = self.journal.since(self.after);
            if let Some(last) = events.last() {
                self.after = last.sequence;
                let mut chunk = String::new();
                if lost > 0 {
                    chunk = format!("event: lost\ndata: {lost}\n\n");
                }
                for event in &events {
                    let (sequence, data) = (event.sequence, shown(event));
                    chunk += &format!("id: {sequence}\ndata: {data}\n\n");
                }
                return Some(chunk);
            }
            match timeout(QUIET, self.newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(":\n\n".to_owned()),
            }
        }
    }
}

fn after(query: Option<&str>, last: Option<&str>) -> Result<u64, Refusal> {
    let mut pairs = query.unwrap_or_default().split('&');
    let asked = pairs.find_map(|pair| pair.strip_prefix("after="));
    let Some(text) = last.or(asked) else {
        return Ok(0);
    };
    // As the document has it: 64 bits, with a sign.
    let number = text.parse::<i64>().ok();
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| {
            let todo = "send the sequence number of an event";
            Refusal::new(StatusCode::BAD_REQUEST, "`after` is no number", todo)
        })
}
