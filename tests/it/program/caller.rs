//! Applications of the tests' own, and a load that counts every answer.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Message, Requester, Responder, connect},
    metadata::CompositeBuilder,
};
use tokio::task::JoinHandle;

/// Serves a service; its answer is always the same text.
pub(super) async fn responder(uri: &str, service: &str, answer: &'static str) -> Requester {
    let app = ConnectOptions::app(answer)
        .publish(service)
        .expect("a name")
        .serve(answering(answer));
    connect(&uri.parse().expect("a uri"), app)
        .await
        .expect("the broker accepts")
}

pub(super) fn answering(answer: &'static str) -> Responder {
    Responder::new().response(move |_| async move { Ok(Message::new(answer)) })
}

pub(super) async fn requester(uri: &str) -> Requester {
    let app = ConnectOptions::app("requester");
    connect(&uri.parse().expect("a uri"), app)
        .await
        .expect("the broker accepts")
}

pub(super) fn request(route: &str) -> Message {
    let metadata = CompositeBuilder::new()
        .route(route)
        .finish()
        .expect("a route");
    Message::new("?").with_metadata(metadata)
}

/// Calls until a call succeeds: registration is silent, so the first answer proves it.
pub(super) async fn wait_for(requester: &Requester, route: &str) {
    wait_while(requester, route, |_| true).await;
}

/// Calls until the service is there, whatever comes of a call.
pub(super) async fn wait_until_known(requester: &Requester, route: &str) {
    let unknown = |error: &str| error.contains("RST-900404");
    wait_while(requester, route, unknown).await;
}

async fn wait_while(requester: &Requester, route: &str, waits: impl Fn(&str) -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = requester.request_response(request(route)).await
        && waits(&error.to_string())
    {
        assert!(tokio::time::Instant::now() < end, "{route}: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A closed loop of callers on one connection. Lives on the test's own thread.
pub(super) struct Load {
    answers: Rc<RefCell<BTreeMap<String, u64>>>,
    errors: Rc<RefCell<Vec<String>>>,
    stop: Rc<Cell<bool>>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(requester: &Requester, route: &str, callers: usize) -> Self {
        let mut load = Self {
            answers: Rc::default(),
            errors: Rc::default(),
            stop: Rc::default(),
            callers: Vec::new(),
        };
        for _ in 0..callers {
            let (requester, request) = (requester.clone(), request(route));
            let (answers, errors) = (load.answers.clone(), load.errors.clone());
            let stop = load.stop.clone();
            load.callers.push(tokio::task::spawn_local(async move {
                while !stop.get() {
                    match requester.request_response(request.clone()).await {
                        Ok(reply) => {
                            let text = String::from_utf8_lossy(&reply.data).into_owned();
                            *answers.borrow_mut().entry(text).or_default() += 1;
                        }
                        Err(error) => errors.borrow_mut().push(error.to_string()),
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
        load
    }

    /// How often this was answered so far.
    pub(super) fn count(&self, answer: &str) -> u64 {
        self.answers.borrow().get(answer).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.answers.borrow().values().sum()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.borrow().clone()
    }

    /// Ends it; every call was answered, and there were many.
    pub(super) async fn end_unharmed(&mut self) {
        self.stop().await;
        assert_eq!(self.errors(), Vec::<String>::new());
        let total = self.total();
        assert!(total > 100, "{total} calls of the neighbour");
    }

    /// Lets the calls under way end.
    pub(super) async fn stop(&mut self) {
        self.stop.set(true);
        for caller in self.callers.drain(..) {
            caller.await.expect("a caller ends well");
        }
    }
}
