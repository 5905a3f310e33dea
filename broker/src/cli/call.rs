//! `call`: one call, its replies printed as they come.

use std::{convert::Infallible, io::Read, path::PathBuf, pin::pin, time::Duration};

use clap::{ArgGroup, Args};
use futures_util::{StreamExt, stream};
use jackfield_rsocket::{
    endpoint::{
        CallError, ConnectOptions, Credit, Failure as CallFailure, Handler, Incoming, Message,
        Requester,
    },
    metadata::{CompositeBuilder, MetadataError, Mime, encode_tags},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    sync::oneshot,
    time::timeout,
};

use crate::config::parse_duration;

use super::{
    broker::{BrokerArgs, lost, refused},
    exit::{Exit, Failure},
    print::print_bytes,
};

#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("interaction").args(["stream", "fnf", "channel"]),
    group = ArgGroup::new("input").args(["data", "data_file"]),
    after_help = "Examples:\n  jackfield call com.example.Greeter.hello --data Ada\n  \
                  jackfield call com.example.Clock.ticks --stream 5\n  \
                  seq 3 | jackfield call com.example.Echo.each --channel\n\n\
                  Exit code 3: the answer was an error. 4: none came in time."
)]
pub(super) struct Call {
    /// [group!]service.method[:version]
    route: String,
    /// What to send
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// A file with what to send; - is standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// Request a stream and take so many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    stream: Option<u32>,
    /// Fire and forget: no reply
    #[arg(long)]
    fnf: bool,
    /// Open a channel: --data first, then each line of standard input
    #[arg(long, conflicts_with = "data_file")]
    channel: bool,
    /// Only this instance: ip:..., uuid:..., id:... or key:value of its metadata
    #[arg(long, value_name = "RULE")]
    endpoint: Option<String>,
    /// The MIME type of the data
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    mime: String,
    /// Until the whole reply; of a stream or channel, until its first item
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Print each reply as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Items of a stream on their way at once.
const WINDOW: u32 = 256;

impl Call {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let first = self.first_message()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(Failure::failed)?;
        let result = runtime.block_on(self.call(first));
        // A read of standard input that never ends holds nothing up.
        runtime.shutdown_background();
        result
    }

    async fn call(&self, first: Option<Message>) -> Result<(), Failure> {
        let (connected, ended) = oneshot::channel();
        let mut options = ConnectOptions::app("jackfield-call").serve(Connected(connected));
        options.data_mime.clone_from(&self.mime);
        let requester = self.broker.connect(options, self.timeout).await?;
        let result = self.interact(&requester, first).await;
        drop(requester);
        // What was sent last is on the wire when the connection's task has ended.
        let _ = timeout(self.timeout, ended).await;
        result
    }

    async fn interact(&self, requester: &Requester, first: Option<Message>) -> Result<(), Failure> {
        if self.channel {
            return self.channel(requester, first).await;
        }
        let request = first.unwrap_or_default();
        if self.fnf {
            return requester.fire_and_forget(request).await.map_err(failed);
        }
        if let Some(items) = self.stream {
            let incoming = requester
                .request_stream(request, Credit::window(items.min(WINDOW)))
                .await;
            return self.print_items(incoming.map_err(failed)?, items).await;
        }
        match timeout(self.timeout, requester.request_response(request)).await {
            Ok(reply) => self.print(&reply.map_err(failed)?),
            Err(_) => Err(self.timed_out()),
        }
    }

    async fn channel(&self, requester: &Requester, first: Option<Message>) -> Result<(), Failure> {
        let mut lines = BufReader::new(stdin()).lines();
        let first = match first {
            Some(first) => first,
            None => {
                let line = lines.next_line().await.map_err(Failure::failed)?;
                self.message(line.unwrap_or_default().into_bytes())?
            }
        };
        let rest = stream::unfold(lines, |mut lines| async {
            let item = match lines.next_line().await {
                Ok(line) => Ok(Message {
                    metadata: None,
                    data: line?.into(),
                }),
                Err(error) => Err(CallFailure::application(error.to_string())),
            };
            Some((item, lines))
        });
        let items = requester
            .request_channel(first, rest, Credit::window(WINDOW))
            .await;
        self.print_items(items.map_err(failed)?, u32::MAX).await
    }

    async fn print_items(&self, incoming: Incoming, most: u32) -> Result<(), Failure> {
        let mut items = pin!(incoming.take(most as usize));
        let Ok(mut item) = timeout(self.timeout, items.next()).await else {
            return Err(self.timed_out());
        };
        while let Some(reply) = item {
            self.print(&reply.map_err(failed)?)?;
            item = items.next().await;
        }
        Ok(())
    }

    fn print(&self, reply: &Message) -> Result<(), Failure> {
        if self.json {
            let line = match std::str::from_utf8(&reply.data) {
                Ok(text) => json!({ "data": text }),
                Err(_) => json!({ "hex": hex(&reply.data) }),
            };
            return print_bytes(format!("{line}\n").as_bytes());
        }
        print_bytes(&[&reply.data, &b"\n"[..]].concat())
    }

    fn timed_out(&self) -> Failure {
        let message = format!(
            "no answer within {:?}; see `jackfield explain RST-910504`",
            self.timeout
        );
        Failure::new(Exit::TimedOut, message)
    }

    /// None when a channel takes its first message from standard input.
    fn first_message(&self) -> Result<Option<Message>, Failure> {
        let data = match (&self.data, &self.data_file) {
            (Some(data), _) => data.clone().into_bytes(),
            (None, Some(file)) => read(file)?,
            (None, None) if self.channel => return Ok(None),
            (None, None) => Vec::new(),
        };
        self.message(data).map(Some)
    }

    fn message(&self, data: Vec<u8>) -> Result<Message, Failure> {
        let metadata = self.metadata().map_err(|error| {
            Failure::usage(format!("the route cannot be written: {error}; shorten it"))
        })?;
        Ok(Message {
            metadata: Some(metadata),
            data: data.into(),
        })
    }

    fn metadata(&self) -> Result<bytes::Bytes, MetadataError> {
        let endpoint = self.endpoint.as_ref().map(|rule| format!("e={rule}"));
        let tags = [Some(self.route.as_str()), endpoint.as_deref()];
        CompositeBuilder::new()
            .try_push(Mime::ROUTING, encode_tags(tags.into_iter().flatten()))
            .finish()
    }
}

/// Lives as long as the connection's task; serves nothing.
struct Connected(#[expect(dead_code, reason = "held for its drop")] oneshot::Sender<Infallible>);

impl Handler for Connected {}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    if file.as_os_str() == "-" {
        let mut data = Vec::new();
        std::io::stdin()
            .read_to_end(&mut data)
            .map_err(Failure::failed)?;
        return Ok(data);
    }
    std::fs::read(file).map_err(|error| {
        Failure::usage(format!(
            "{} cannot be read: {error}; name another file",
            file.display()
        ))
    })
}

fn failed(error: CallError) -> Failure {
    match error {
        CallError::Failed(failure) => refused(failure.code, &failure.text),
        CallError::Closed(closed) => lost(&closed),
        other => Failure::failed(other),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
