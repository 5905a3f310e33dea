use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{api, guard::Guard, handles::Handles, health, serve::serve, token::Token};

/// To the face for operators.
const ADMIN_CONNECTIONS: usize = 256;

/// What the two faces stand on. The listeners are bound by the caller, who reports what fails.
#[derive(Debug)]
pub struct Faces {
    pub http: TcpListener,
    /// How many it takes: Prometheus holds one for each application it is scraping.
    pub http_connections: usize,
    pub admin: TcpListener,
    pub token: Token,
    /// Names besides loopback under which the admin face may be addressed, in lower case.
    pub hosts: Vec<String>,
}

/// The running faces. Dropping this ends them.
#[derive(Debug)]
pub struct Admin {
    http: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Room {
    /// Where the face for applications listens.
    pub(super) http: SocketAddr,
    pub(super) handles: Handles,
    pub(super) guard: Arc<Guard>,
}

impl Admin {
    /// Serves both faces on a thread and a runtime of their own.
    pub fn start(faces: Faces, handles: Handles) -> io::Result<Self> {
        let Faces {
            http,
            http_connections,
            admin,
            token,
            hosts,
        } = faces;
        let addresses = (http.local_addr()?, admin.local_addr()?);
        http.set_nonblocking(true)?;
        admin.set_nonblocking(true)?;
        let guard = Arc::new(Guard::new(token, hosts));
        let room = Arc::new(Room {
            http: addresses.0,
            handles,
            guard,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                let http = serve(http, health::router(Arc::clone(&room)), http_connections);
                let admin = serve(admin, api::router(room), ADMIN_CONNECTIONS);
                tokio::select! {
                    result = http => report("http", result),
                    result = admin => report("admin", result),
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name("jackfield-admin".into())
            .spawn(run)?;
        Ok(Self {
            http: addresses.0,
            admin: addresses.1,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn report(face: &'static str, result: io::Result<std::convert::Infallible>) {
    let Err(error) = result;
    tracing::error!(face, %error, "the face has stopped");
}
