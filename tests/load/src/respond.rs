//! The other end of a load: where a responder attaches, and its thread.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Notify, mpsc as async_mpsc},
    task::JoinSet,
    time::timeout,
};

use crate::{
    serve::{self, Served},
    wire::Wire,
};

const READY_MAX: Duration = Duration::from_secs(10);

/// Where a responder attaches.
#[derive(Debug, Clone)]
pub enum Attach {
    /// Listens for RSocket clients; one port for each connection asked for.
    Listen(SocketAddr),
    /// Listens for plain connections and echoes their bytes.
    Raw(SocketAddr),
    /// Dials a broker and registers as an app that publishes `services`.
    Broker {
        address: SocketAddr,
        services: Vec<String>,
    },
    /// Dials a NATS server; the connections share `subject` as one queue group.
    Nats {
        address: SocketAddr,
        subject: String,
    },
}

/// A responder that echoes: its label, then the data of the request.
#[derive(Debug, Clone)]
pub struct Respond {
    pub attach: Attach,
    /// Connections to dial, or ports to listen on.
    pub connections: usize,
    pub label: String,
}

impl Respond {
    /// Starts a thread of its own; returns when every connection is registered or every port open.
    pub fn start(self) -> io::Result<Responding> {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let (ready, attached) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("respond".into())
            .spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    tokio::select! {
                        () = stopped.notified() => Ok(()),
                        end = self.serve(ready) => end,
                    }
                })
            })?;
        let mut responding = Responding {
            addresses: Vec::new(),
            stop,
            thread: Some(thread),
        };
        match attached.recv() {
            Ok(addresses) => responding.addresses = addresses,
            Err(_) => responding.end()?,
        }
        Ok(responding)
    }

    async fn serve(self, ready: mpsc::SyncSender<Vec<SocketAddr>>) -> io::Result<()> {
        match self.attach {
            Attach::Listen(address) | Attach::Raw(address) => self.listen(address, ready).await,
            Attach::Broker { address, .. } | Attach::Nats { address, .. } => {
                self.dial(address, ready).await
            }
        }
    }

    async fn listen(
        &self,
        address: SocketAddr,
        ready: mpsc::SyncSender<Vec<SocketAddr>>,
    ) -> io::Result<()> {
        let mut addresses = Vec::with_capacity(self.connections);
        let mut ports = JoinSet::new();
        for _ in 0..self.connections {
            let listener = TcpListener::bind(address).await?;
            addresses.push(listener.local_addr()?);
            ports.spawn(accept(listener, self.served(None)));
        }
        let _ = ready.try_send(addresses);
        ports.join_next().await.unwrap_or(Ok(Ok(())))?
    }

    /// Ends, with an error, when the first of the connections does.
    async fn dial(
        &self,
        address: SocketAddr,
        ready: mpsc::SyncSender<Vec<SocketAddr>>,
    ) -> io::Result<()> {
        let (taken, mut registered) = async_mpsc::channel(self.connections);
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let wire = Wire::connect(address).await?;
            connections.spawn(serve::run(wire, self.served(Some(taken.clone()))));
        }
        let all = async {
            for _ in 0..self.connections {
                registered.recv().await;
            }
        };
        tokio::select! {
            end = connections.join_next() => return end.unwrap_or(Ok(Ok(())))?,
            waited = timeout(READY_MAX, all) => waited?,
        }
        let _ = ready.try_send(vec![address; self.connections]);
        connections.join_next().await.unwrap_or(Ok(Ok(())))?
    }

    fn served(&self, registered: Option<async_mpsc::Sender<()>>) -> Served {
        Served {
            attach: self.attach.clone(),
            label: self.label.clone(),
            registered,
        }
    }
}

/// A client that goes away ends its own connection and nothing else.
async fn accept(listener: TcpListener, served: Served) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let wire = Wire::new(accepted?.0)?;
                connections.spawn(serve::run(wire, served.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A responder on a thread of its own. Dropping it ends its connections.
#[derive(Debug)]
pub struct Responding {
    /// Where it listens, or what it dialled, one for each connection.
    pub addresses: Vec<SocketAddr>,
    stop: Arc<Notify>,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Responding {
    /// Waits until a connection that was dialled ends, or a port fails.
    pub fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread
            .join()
            .map_err(|_| io::Error::other("the responder's thread panicked"))?
    }
}

impl Drop for Responding {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
