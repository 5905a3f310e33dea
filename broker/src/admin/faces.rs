use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use axum::Router;
use tokio::{runtime, sync::oneshot};

use super::{
    Audit, Operators, api, guard::Guard, handles::Handles, health, hosts::Hosts, route::Routes,
    serve::serve,
};

/// To the face for operators.
const ADMIN_CONNECTIONS: usize = 256;

/// What the two faces stand on. The listeners are bound by the caller, who reports what fails.
#[derive(Debug)]
pub struct Faces {
    pub http: TcpListener,
    /// How many it takes: Prometheus holds one for each application it is scraping.
    pub http_connections: usize,
    /// Names besides loopback under which calls may be addressed where the face is on loopback, in lower case.
    pub http_hosts: Vec<String>,
    /// What applications and tools call, besides what Prometheus reads.
    pub calls: Router,
    pub admin: TcpListener,
    pub operators: Operators,
    pub audit: Audit,
    /// Names besides loopback under which the admin face may be addressed, in lower case.
    pub hosts: Vec<String>,
}

/// The running faces. Dropping this ends them.
#[derive(Debug)]
pub struct Admin {
    http: Face,
    admin: Face,
}

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Room {
    /// Where the face for applications listens.
    pub(super) http: SocketAddr,
    pub(super) handles: Handles,
    pub(super) guard: Arc<Guard>,
    pub(super) routes: Arc<Routes>,
}

impl Admin {
    /// Serves each face on a thread and a runtime of its own.
    pub fn start(faces: Faces, handles: Handles) -> io::Result<Self> {
        let http = faces.http.local_addr()?;
        let known = Hosts::new(
            faces.hosts,
            true,
            "use a loopback address, or list the name in admin.hosts",
        );
        let room = Arc::new(Room {
            http,
            handles,
            guard: Arc::new(Guard::new(faces.operators, known, faces.audit)),
            routes: Arc::new(api::routes()),
        });
        let pages = Hosts::new(
            faces.http_hosts,
            http.ip().is_loopback(),
            "use a loopback address, or list the name in http.hosts",
        );
        let calls = health::guarded(faces.calls, pages);
        let http_router = health::router(Arc::clone(&room)).merge(calls);
        Ok(Self {
            http: Face::start("http", faces.http, http_router, faces.http_connections)?,
            admin: Face::start("admin", faces.admin, api::router(room), ADMIN_CONNECTIONS)?,
        })
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http.address
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }
}

/// A listener and the thread that serves it. Dropping it ends the thread.
#[derive(Debug)]
struct Face {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Face {
    fn start(
        name: &'static str,
        listener: TcpListener,
        router: Router,
        connections_max: usize,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, router, connections_max) => report(name, result),
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name(format!("jackfield-{name}"))
            .spawn(run)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Face {
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
