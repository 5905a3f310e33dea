//! Why there is no answer, as HTTP says it: a status, and a JSON body with the code to look up.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jackfield_rsocket::{
    endpoint::{CallError, Closed, Failure},
    wire::ErrorCode,
};
use serde_json::{Value, json};

pub(super) const BODIES_FULL: &str = "bodies take all of http.memory";

/// A call that failed, or was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// `RST-900404`, when the text begins with one.
    code: Option<String>,
    /// As it travelled over RSocket, if it did.
    rsocket: Option<ErrorCode>,
    text: String,
}

impl Fault {
    /// Of our own making. The text begins with its RST code.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self::said(status, None, &text.into())
    }

    fn said(status: StatusCode, rsocket: Option<ErrorCode>, text: &str) -> Self {
        let (code, words) = match text.split_once(": ") {
            Some((code, words)) if is_rst(code) => (Some(code.to_owned()), words),
            _ => (None, text),
        };
        Self {
            status,
            code,
            rsocket,
            text: words.to_owned(),
        }
    }

    pub(super) fn bad(what: impl std::fmt::Display) -> Self {
        let text = format!("RST-910434: {what}");
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn not_authenticated() -> Self {
        let text = "RST-500405: not accepted: authentication is required, and failed";
        Self::new(StatusCode::UNAUTHORIZED, text)
    }

    pub(super) fn not_allowed(service: &str) -> Self {
        let text = format!("RST-900401: not allowed to call {service}");
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(super) fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(super) fn late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "RST-910504: no answer in time")
    }

    pub(super) fn full(what: &str) -> Self {
        let text = format!("RST-910435: {what}; try again later");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(super) fn body(&self) -> Value {
        json!({
            "code": self.code,
            "rsocket": self.rsocket.map(|code| code.to_string()),
            "error": self.text,
        })
    }
}

fn is_rst(code: &str) -> bool {
    code.strip_prefix("RST-")
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()))
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(failure) => failure.into(),
            CallError::Closed(Closed::Error(failure)) => failure.into(),
            CallError::TooLarge { limit } => {
                let text = format!("RST-910413: the answer is larger than http.message: {limit}");
                Self::new(StatusCode::BAD_GATEWAY, text)
            }
            // The call was made; that its answer cannot be held is told as what it is.
            CallError::Full => Self::full(BODIES_FULL),
            CallError::Unavailable(_) | CallError::NoLease => Self::full(&error.to_string()),
            // The call may have been made.
            error => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let fault = Self::said(StatusCode::OK, Some(failure.code), &failure.text);
        let status = match (fault.code.as_deref(), failure.code) {
            (Some("RST-500405" | "RST-910401" | "RST-910402"), _) => StatusCode::UNAUTHORIZED,
            (Some("RST-900401"), _) => StatusCode::FORBIDDEN,
            (Some("RST-900404" | "RST-900405" | "RST-201404"), _) => StatusCode::NOT_FOUND,
            (Some("RST-910504"), _) => StatusCode::GATEWAY_TIMEOUT,
            (Some("RST-900500"), _) => StatusCode::INTERNAL_SERVER_ERROR,
            (_, ErrorCode::INVALID) => StatusCode::BAD_REQUEST,
            (_, ErrorCode::REJECTED) => StatusCode::SERVICE_UNAVAILABLE,
            (_, ErrorCode::CANCELED) => StatusCode::BAD_GATEWAY,
            // The broker ends, or ends this caller's connection.
            (_, ErrorCode::CONNECTION_ERROR | ErrorCode::CONNECTION_CLOSE) => {
                StatusCode::BAD_GATEWAY
            }
            // What the application itself answered with.
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, ..fault }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"jackfield\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_status() {
        for (code, text, status) in [
            (ErrorCode::INVALID, "RST-900404: service not found: x", 404),
            (ErrorCode::INVALID, "RST-900405: no such endpoint", 404),
            (ErrorCode::INVALID, "RST-201404: no handler", 404),
            (ErrorCode::INVALID, "RST-600404: no route", 400),
            (ErrorCode::INVALID, "bad argument", 400),
            (ErrorCode::INVALID, "RST-900500: it threw", 500),
            (ErrorCode::APPLICATION_ERROR, "RST-900401: not allowed", 403),
            (ErrorCode::APPLICATION_ERROR, "out of stock", 500),
            (ErrorCode(0x301), "a plugin's own", 500),
            (ErrorCode::REJECTED, "RST-910429: overloaded", 503),
            (ErrorCode::REJECTED, "slow down", 503),
            (ErrorCode::CANCELED, "RST-910504: no answer in time", 504),
            (ErrorCode::CANCELED, "RST-910499: connection ended", 502),
            (ErrorCode::CONNECTION_ERROR, "RST-910401: ended", 401),
            (ErrorCode::CONNECTION_CLOSE, "drained", 502),
        ] {
            let fault = Fault::from(Failure::new(code, text));
            assert_eq!(fault.status.as_u16(), status, "{code} {text}");
        }
    }

    #[test]
    fn the_body_has_the_code_and_the_words_apart() {
        let fault = Fault::from(Failure::new(ErrorCode::INVALID, "RST-900404: not found: x"));
        let expected = json!({
            "code": "RST-900404", "rsocket": "INVALID (0x204)", "error": "not found: x"
        });
        assert_eq!(fault.body(), expected);
        let fault = Fault::from(Failure::application("RST-1: x"));
        assert_eq!(fault.body()["code"], Value::Null);
        assert_eq!(fault.body()["error"], "RST-1: x");
    }
}
