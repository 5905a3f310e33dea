//! Talks to the admin API of a running broker.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use clap::Args;
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    admin::Token,
    config::{AdminFace, HostPort},
};

use super::{
    contexts::{Context, ContextFile},
    exit::{Exit, Failure},
    settings::ConfigArgs,
};

const TOKEN_VARIABLE: &str = "JACKFIELD_ADMIN_TOKEN";
const TIMEOUT: Duration = Duration::from_secs(10);
const BODY_MAX: usize = 256 << 20;

/// Which broker, and what lets us in: a flag, then the variable, then the configuration file if there is one, then the
/// context in use.
#[derive(Args, Clone, Debug)]
pub(super) struct AdminArgs {
    /// The admin API [default: admin.listen of the configuration file, then of the context in use]
    #[arg(long, value_name = "HOST:PORT", value_parser = HostPort::parse_full)]
    admin: Option<HostPort>,
    /// The admin token [default: $JACKFIELD_ADMIN_TOKEN, then admin.token-file of the configuration, then the context]
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The broker that `jackfield context add` gave this name
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    #[command(flatten)]
    contexts: ContextFile,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug)]
pub(super) struct AdminClient {
    address: HostPort,
    token: Token,
}

impl AdminArgs {
    pub(super) fn client(&self) -> Result<AdminClient, Failure> {
        let variable = std::env::var(TOKEN_VARIABLE)
            .ok()
            .filter(|token| !token.is_empty());
        let given = self.token.clone().or(variable);
        let given = given.map(|token| Token::from_text(&token));
        if let (Some(address), Some(token)) = (&self.admin, &given) {
            return Ok(AdminClient {
                address: address.clone(),
                token: token.clone(),
            });
        }
        let (address, token) = match self.place()? {
            Place::Context(context) => (context.address()?, context.token()?),
            Place::Config(admin) => {
                let token = match given {
                    Some(_) => None,
                    None => Some(Token::load(&admin.token_file).map_err(Failure::usage)?),
                };
                (admin.listen, token)
            }
        };
        let token = given.or(token).ok_or_else(|| {
            let todo = "give it with --token or JACKFIELD_ADMIN_TOKEN, or add the context again";
            Failure::usage(format!("the context has no token; {todo}"))
        })?;
        Ok(AdminClient {
            address: self.admin.clone().unwrap_or(address),
            token,
        })
    }

    /// Who says where the broker is. A context that is named wins over a configuration that is only there.
    fn place(&self) -> Result<Place, Failure> {
        if let Some(name) = &self.context {
            let contexts = self.contexts.read()?;
            return contexts.find(name).cloned().map(Place::Context);
        }
        let loaded = self.config.load()?;
        let configured = !loaded.files.is_empty() || !self.config.settings.is_empty();
        if !configured && let Some(context) = self.contexts.read()?.current() {
            return Ok(Place::Context(context.clone()));
        }
        Ok(Place::Config(loaded.config.admin))
    }
}

enum Place {
    Context(Context),
    Config(AdminFace),
}

impl AdminClient {
    pub(super) fn read(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None, TIMEOUT)
    }

    /// `Null`: without a body.
    pub(super) fn act(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.act_within(path, body, TIMEOUT)
    }

    /// Something that may take longer than other answers.
    pub(super) fn act_within(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<Value, Failure> {
        let body = Some(body).filter(|body| !body.is_null());
        self.send(Method::POST, path, body, within)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(Failure::failed)?.block_on(async {
            match timeout(within, self.exchange(method, path, body)).await {
                Ok(result) => result,
                Err(_) => Err(Failure::new(
                    Exit::TimedOut,
                    format!(
                        "{} did not answer within {}s",
                        self.address,
                        within.as_secs()
                    ),
                )),
            }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.host())
            .header(header::AUTHORIZATION, self.token.header())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .map_err(Failure::usage)?;
        let target = (self.address.host.as_str(), self.address.port);
        let stream = TcpStream::connect(target)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        let connection = tokio::spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(&error))?;
        let status = response.status();
        let bytes = to_bytes(Body::new(response.into_body()), BODY_MAX)
            .await
            .map_err(|error| self.broken(&error))?;
        connection.abort();
        let answer = serde_json::from_slice(&bytes).map_err(|error| self.broken(&error))?;
        self.judge(status, answer)
    }

    /// Over a name that is not loopback the broker asks for a Host it knows; the address is always one.
    fn host(&self) -> String {
        self.address.to_string()
    }

    fn judge(&self, status: StatusCode, answer: Value) -> Result<Value, Failure> {
        if status.is_success() {
            return Ok(answer);
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let (what, mut todo) = (text("error"), text("todo"));
        if status == StatusCode::UNAUTHORIZED {
            todo = format!(
                "give the token with --token or {TOKEN_VARIABLE}, or run where its file is"
            );
        }
        Err(Failure::failed(format!("{}: {what}; {todo}", self.address)))
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let todo = "is the broker running? name its admin address with --admin HOST:PORT";
        Failure::failed(format!(
            "{} cannot be reached: {error}; {todo}",
            self.address
        ))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Failure {
        let todo = "is this the admin address?";
        Failure::failed(format!(
            "{} does not speak our HTTP: {error}; {todo}",
            self.address
        ))
    }
}
