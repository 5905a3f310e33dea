use std::sync::Arc;

use super::driver::Driver;
use super::opening::{Dialling, Opening};
use super::requester::Requester;
use super::shared::Shared;
use super::{ConnectError, ConnectOptions};
use crate::net::{self, FrameIo, NetError, Uri};

/// Dials, introduces itself, and starts the connection's task on the current runtime.
///
/// RSocket accepts in silence: a refusal shows as the end of the connection, see
/// [`Requester::closed`], and in every call.
///
/// The first attempt must succeed. What happens when the connection is lost later is said by
/// [`ConnectOptions::reconnect`] and [`ConnectOptions::resume`].
pub async fn connect(uri: &Uri, options: ConnectOptions) -> Result<Requester, ConnectError> {
    let io = net::connect_with(uri, options.limits.frame, &options.dial).await?;
    let dial = dial(uri, &options);
    start(Opening::new(&options, Some(dial))?, options, Some(io))
}

/// Returns at once and dials in the background, again and again if it has to. Calls wait meanwhile,
/// as many as [`Limits::queue`](super::Limits::queue) lets in.
pub fn connect_lazily(uri: &Uri, mut options: ConnectOptions) -> Result<Requester, ConnectError> {
    options.reconnect.get_or_insert_default();
    let dial = dial(uri, &options);
    start(Opening::new(&options, Some(dial))?, options, None)
}

/// The same over transports that the caller makes: a tunnel, a test, a choice among servers. `dial`
/// is asked once for each transport.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use jackfield_rsocket::endpoint::{ConnectOptions, Message, Responder, Server, connect_with};
/// use jackfield_rsocket::net;
///
/// let server = Server::answering(Responder::new().response(async |request| Ok(request)));
/// let dial = move || {
///     let (near, far) = net::memory(1 << 20);
///     tokio::spawn({
///         let server = server.clone();
///         async move { server.accept(far).await }
///     });
///     async move { Ok(near) }
/// };
/// let requester = connect_with(dial, ConnectOptions::new())?;
/// assert_eq!(requester.request_response(Message::new("hi")).await?.data, "hi");
/// # Ok(())
/// # }
/// ```
pub fn connect_with<D, F>(dial: D, mut options: ConnectOptions) -> Result<Requester, ConnectError>
where
    D: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<FrameIo, NetError>> + Send + 'static,
{
    options.reconnect.get_or_insert_default();
    let opening = Opening::new(&options, Some(Arc::new(move || Box::pin(dial()))))?;
    start(opening, options, None)
}

/// The same over a connection that is there already, such as one end of [`net::memory`]. It is the
/// only one: when it ends, so does the requester.
pub fn attach(io: FrameIo, options: ConnectOptions) -> Result<Requester, ConnectError> {
    start(Opening::new(&options, None)?, options, Some(io))
}

fn dial(uri: &Uri, options: &ConnectOptions) -> Arc<dyn Fn() -> Dialling + Send + Sync> {
    let (uri, frame, dial) = (uri.clone(), options.limits.frame, options.dial.clone());
    Arc::new(move || {
        let (uri, dial) = (uri.clone(), dial.clone());
        Box::pin(async move { net::connect_with(&uri, frame, &dial).await })
    })
}

fn start(
    opening: Opening,
    options: ConnectOptions,
    io: Option<FrameIo>,
) -> Result<Requester, ConnectError> {
    let shared = Shared::new(options.limits.queue);
    let requester = Requester::new(Arc::clone(&shared));
    let driver = Driver::client(opening, io, shared, options.handler, options.limits)?;
    let driver = driver.within(options.memory);
    tokio::spawn(driver.run());
    Ok(requester)
}
