//! Accepts HTTP/1 connections, with a bound on how many and on how long a request head may take.

use std::{convert::Infallible, io, net, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors or memory.
const RETRY: Duration = Duration::from_millis(100);

/// Runs until it is dropped, or the listener cannot be used at all. Connections beyond `connections_max` wait in the
/// system's accept queue.
pub(super) async fn serve(
    listener: net::TcpListener,
    router: Router,
    connections_max: usize,
) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(connections_max));
    loop {
        let permit = Arc::clone(&room)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                sleep(RETRY).await;
                continue;
            }
        };
        let router = router.clone().layer(axum::Extension(ConnectInfo(remote)));
        let service = TowerToHyperService::new(router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A peer that breaks off is not worth a line.
            let _ = connection.await;
            drop(permit);
        });
    }
}
