//! The flags of commands that are an application at the broker, and how they connect.

use std::time::Duration;

use clap::Args;
use jackfield_rsocket::{
    endpoint::{Closed, ConnectOptions, Requester, connect},
    net::Uri,
    wire::ErrorCode,
};
use tokio::time::timeout;

use super::exit::{Exit, Failure};

#[derive(Args, Clone, Debug)]
pub(super) struct BrokerArgs {
    /// Where the broker is
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:9999")]
    pub(super) broker: Uri,
}

impl BrokerArgs {
    pub(super) async fn connect(
        &self,
        options: ConnectOptions,
        limit: Duration,
    ) -> Result<Requester, Failure> {
        match timeout(limit, connect(&self.broker, options)).await {
            Ok(Ok(requester)) => Ok(requester),
            Ok(Err(error)) => {
                let todo = "is the broker running? name it with --broker URI";
                let why = causes(&error);
                Err(Failure::failed(format!(
                    "{} cannot be reached: {why}; {todo}",
                    self.broker
                )))
            }
            Err(_) => Err(Failure::new(
                Exit::TimedOut,
                format!("{} did not answer in time", self.broker),
            )),
        }
    }
}

/// An error with everything below it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An ERROR frame for a person, with the page that explains it.
pub(super) fn refused(code: ErrorCode, text: &str) -> Failure {
    let page = match text.split_once(':') {
        Some((rst, _)) if rst.starts_with("RST-") => format!("; see `jackfield explain {rst}`"),
        _ => String::new(),
    };
    Failure::new(Exit::Answered, format!("{code}: {text}{page}"))
}

/// Why a connection ended that should have lasted.
pub(super) fn lost(closed: &Closed) -> Failure {
    match closed {
        Closed::Error(failure) => refused(failure.code, &failure.text),
        other => Failure::failed(causes(other)),
    }
}
