//! The flags of commands that are an application at the broker, and how they connect.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use jackfield_rsocket::{
    endpoint::{Closed, ConnectError, ConnectOptions, Requester, attach},
    net::{
        DialOptions, NetError, TlsClient, TlsClientOptions, TlsError, TlsPart, Uri, connect_with,
    },
    wire::ErrorCode,
};
use tokio::time::timeout;

use super::exit::{Exit, Failure};

#[derive(Args, Clone, Debug)]
pub(super) struct BrokerArgs {
    /// Where the broker is: tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH
    /// or unix:/PATH
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:9999")]
    pub(super) broker: Uri,
    /// With tls and wss: trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With tls and wss: show this certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of --cert, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// With tls and wss: the name in the broker's certificate, when it is not the host of the URI
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A token to authenticate with
    #[arg(
        long,
        value_name = "TOKEN",
        env = "JACKFIELD_BEARER",
        hide_env_values = true
    )]
    bearer: Option<String>,
}

impl BrokerArgs {
    pub(super) async fn connect(
        &self,
        mut options: ConnectOptions,
        limit: Duration,
    ) -> Result<Requester, Failure> {
        options.token.clone_from(&self.bearer);
        let dial = self.dial_options()?;
        let connecting = async {
            let io = connect_with(&self.broker, options.limits.frame, &dial).await?;
            attach(io, options)
        };
        match timeout(limit, connecting).await {
            Ok(Ok(requester)) => Ok(requester),
            Ok(Err(error)) => {
                let todo = match error {
                    ConnectError::Net(NetError::Tls(_)) => {
                        "name whom to trust with --ca FILE, who you are with --cert and --key"
                    }
                    _ => "is the broker running? name it with --broker URI",
                };
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

impl BrokerArgs {
    /// How to reach it; the default for what no flag says.
    fn dial_options(&self) -> Result<DialOptions, Failure> {
        let given = self.ca.is_some() || self.cert.is_some() || self.server_name.is_some();
        if !self.broker.kind().is_tls() {
            return match given {
                true => Err(Failure::usage(format!(
                    "--ca, --cert, --key and --server-name are for tls and wss; {} is neither",
                    self.broker
                ))),
                false => Ok(DialOptions::default()),
            };
        }
        let read = |path: &PathBuf| {
            let unreadable = |error| format!("{} cannot be read: {error}", path.display());
            fs::read(path).map_err(|error| Failure::usage(unreadable(error)))
        };
        let certificate = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        let options = TlsClientOptions {
            authorities: self.ca.as_ref().map(read).transpose()?,
            certificate,
            server_name: self.server_name.clone(),
        };
        let tls = TlsClient::new(&options).map_err(|error| Failure::usage(self.blame(&error)))?;
        Ok(DialOptions {
            tls: Some(tls),
            ..DialOptions::default()
        })
    }

    /// Which flag is to blame, and for what.
    fn blame(&self, error: &TlsError) -> String {
        let flag = match error.part {
            TlsPart::Certificate => "--cert",
            TlsPart::Key => "--key",
            TlsPart::ServerName => "--server-name",
            TlsPart::Authorities if self.ca.is_some() => "--ca",
            TlsPart::Authorities => {
                return format!("{error}; name whom to trust with --ca FILE");
            }
        };
        format!("{flag} {}", error.fault)
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
