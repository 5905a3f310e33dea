//! `respond`: a responder for trying things out. It echoes every interaction.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use jackfield_rsocket::{
    endpoint::{Closed, ConnectOptions, Failure as CallFailure, Message, Responder},
    metadata::Service,
};
use tokio::{signal::ctrl_c, time::sleep};

use super::{
    broker::{BrokerArgs, lost},
    exit::Failure,
    print::print_text,
};

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield respond com.example.Greeter com.example.Clock\n\n\
                        request/response: the data comes back. stream: the data, --items times.\n\
                        channel: every item comes back. fire and forget: nothing."
)]
pub(super) struct Respond {
    /// [group!]service[:version]; several may be named
    #[arg(required = true)]
    services: Vec<String>,
    /// The application's name
    #[arg(long, default_value = "jackfield-respond")]
    name: String,
    /// Metadata of the application, for --endpoint; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
    /// Put in front of every reply, to tell several responders apart
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Items of a stream
    #[arg(long, value_name = "N", default_value_t = 1000)]
    items: usize,
    #[command(flatten)]
    broker: BrokerArgs,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Respond {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(Failure::failed)?.block_on(async {
            tokio::select! {
                result = self.serve() => result,
                _ = ctrl_c() => Ok(()),
            }
        })
    }

    /// Fails when the first connection does; later ones are tried again and again.
    pub(super) async fn serve(&self) -> Result<(), Failure> {
        let mut pause = PAUSE_MIN;
        let mut served = false;
        loop {
            match self.serve_once(&mut pause).await {
                Ok(closed) if may_connect_again(&closed) => {
                    served = true;
                    eprintln!("jackfield: {closed}; connecting again in {pause:?}");
                }
                Ok(closed) => return Err(lost(&closed)),
                Err(failure) if served => failure.report(),
                Err(failure) => return Err(failure),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One connection, to its end.
    async fn serve_once(&self, pause: &mut Duration) -> Result<Closed, Failure> {
        let requester = self
            .broker
            .connect(self.options()?, CONNECT_TIMEOUT)
            .await?;
        print_text(&format!(
            "ready {} at {}",
            self.services.join(" "),
            self.broker.broker
        ))?;
        let connected = tokio::time::Instant::now();
        let closed = requester.closed().await;
        if connected.elapsed() > PAUSE_MAX {
            *pause = PAUSE_MIN;
        }
        Ok(closed)
    }

    fn options(&self) -> Result<ConnectOptions, Failure> {
        let mut options =
            ConnectOptions::app(&self.name).serve(echo(self.prefix.clone(), self.items));
        if let Some(app) = &mut options.app {
            app.metadata.extend(self.tags.iter().cloned());
        }
        for service in &self.services {
            let parsed = Service::parse(service).map_err(|error| {
                Failure::usage(format!(
                    "`{service}`: {error}; write [group!]service[:version]"
                ))
            })?;
            options.publish.push(parsed);
        }
        Ok(options)
    }
}

/// A refused SETUP is refused again; everything else may pass.
fn may_connect_again(closed: &Closed) -> bool {
    !matches!(closed, Closed::Error(failure) if failure.code.0 <= 0x004)
}

fn echo(prefix: String, items: usize) -> Responder {
    let reply = move |request: Message| {
        let data = match prefix.is_empty() {
            true => request.data,
            false => [prefix.as_bytes(), &request.data].concat().into(),
        };
        Message {
            metadata: None,
            data,
        }
    };
    let (each, every) = (reply.clone(), reply.clone());
    Responder::new()
        .response(move |request| {
            let reply = reply(request);
            async move { Ok(reply) }
        })
        .stream(move |request| stream::repeat(each(request)).take(items).map(Ok))
        .channel(move |first, rest| {
            let every = every.clone();
            let rest =
                rest.map(|item| item.map_err(|error| CallFailure::application(error.to_string())));
            stream::iter([Ok(first)])
                .chain(rest)
                .map(move |item| item.map(&every))
        })
        .fire_and_forget(async |_| {})
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
