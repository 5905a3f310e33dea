//! A wire that can be cut: a TCP forwarder between a client and the broker.

use std::time::Duration;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

pub(crate) struct Cutter {
    uri: String,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    cut: bool,
    /// How often it was cut: a connection from before does not outlive a cut that was mended at once.
    cuts: u32,
    /// Connections that are carried now.
    carried: usize,
}

impl Cutter {
    /// `uri` is the broker's, `tcp://host:port`.
    pub(crate) async fn start(uri: &str) -> Self {
        let target = uri.trim_start_matches("tcp://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let here = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::default());
        Self {
            uri: format!("tcp://{here}"),
            task: tokio::spawn(accept(listener, target, state.clone())),
            state,
        }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Ends every connection. New ones hear nothing until [`Self::mend`].
    pub(crate) async fn cut(&self) {
        self.state.send_modify(|state| {
            state.cut = true;
            state.cuts += 1;
        });
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| state.carried == 0).await;
    }

    pub(crate) fn mend(&self) {
        self.state.send_modify(|state| state.cut = false);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
        self.state.send_modify(|state| state.cuts += 1);
    }
}

async fn accept(listener: TcpListener, target: String, state: watch::Sender<State>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(carry(client, target.clone(), state.clone()))),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn carry(client: TcpStream, target: String, state: watch::Sender<State>) {
    let mut watched = state.subscribe();
    let Ok(born) = watched
        .wait_for(|state| !state.cut)
        .await
        .map(|state| state.cuts)
    else {
        return;
    };
    state.send_modify(|state| state.carried += 1);
    tokio::select! {
        () = forward(client, target) => {}
        _ = watched.wait_for(|state| state.cuts != born) => {}
    }
    state.send_modify(|state| state.carried -= 1);
}

async fn forward(mut client: TcpStream, target: String) {
    if let Ok(mut broker) = TcpStream::connect(target).await {
        // Small frames must not wait for company.
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut broker).await;
    }
}
