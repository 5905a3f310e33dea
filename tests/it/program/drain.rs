//! Drain, by signal and by the admin API: calls under way finish, nothing new begins, and the exit
//! code says whether anything was cut.

use std::{
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield_rsocket::endpoint::{
    CallError, ConnectOptions, Message, Requester, Responder, connect,
};
use tokio::{
    sync::Notify,
    task::{JoinHandle, LocalSet, spawn_local},
};

use super::{
    admin::{admin, exchange, until},
    caller::{request, requester, wait_for},
    run,
};
use crate::broker::{Broker, CONFIG, Transport};

const CUT: i32 = 5;
const SOON: Duration = Duration::from_secs(20);

/// A broker with a call under way that ends when it is told to.
struct Scene {
    broker: Broker,
    caller: Requester,
    finish: Arc<Notify>,
    call: JoinHandle<Result<Message, CallError>>,
    _responder: Requester,
}

impl Scene {
    async fn new() -> Self {
        let broker = Broker::start_with(CONFIG);
        let uri = broker.uri(Transport::Tcp).parse().expect("a uri");
        let (finish, begun) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (gate, beginning) = (finish.clone(), begun.clone());
        let handler = Responder::new().response(move |request| {
            let (gate, beginning) = (gate.clone(), beginning.clone());
            async move {
                if request.data == "wait" {
                    beginning.notify_one();
                    gate.notified().await;
                }
                Ok(Message::new("done"))
            }
        });
        let app = ConnectOptions::app("slow").publish("slow.Service");
        let app = app.expect("a name").serve(handler);
        let responder = connect(&uri, app).await.expect("the broker accepts");
        let caller = requester(broker.uri(Transport::Tcp)).await;
        wait_for(&caller, "slow.Service.call").await;
        let calling = caller.clone();
        let call = spawn_local(async move {
            let mut wait = request("slow.Service.call");
            wait.data = "wait".into();
            calling.request_response(wait).await
        });
        begun.notified().await;
        Self {
            broker,
            caller,
            finish,
            call,
            _responder: responder,
        }
    }

    async fn is_draining(&self) {
        until("it says that it is draining", || {
            self.broker.log().contains("\"draining\"")
        })
        .await;
    }

    /// The call ends well and the broker with it.
    async fn finishes(self) -> Option<i32> {
        let Self {
            mut broker,
            finish,
            call,
            ..
        } = self;
        finish.notify_one();
        let reply = call.await.expect("no panic").expect("an answer");
        assert_eq!(&reply.data[..], b"done");
        blocking(move || broker.exit_code(SOON)).await
    }
}

/// The broker's end is waited for beside the clients, which have to close.
async fn blocking<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(wait).await.expect("no panic")
}

fn ready(broker: &Broker) -> String {
    let address = broker.http();
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, &request)
}

#[test]
fn a_signal_lets_calls_finish_and_takes_nothing_new() {
    run(LocalSet::new().run_until(async {
        let scene = Scene::new().await;
        assert!(ready(&scene.broker).starts_with("HTTP/1.1 200"));
        scene.broker.signal("TERM");
        scene.is_draining().await;
        until("it is not ready", || {
            let answer = ready(&scene.broker);
            answer.starts_with("HTTP/1.1 503") && answer.contains("not ready")
        })
        .await;
        let refused = scene
            .caller
            .request_response(request("slow.Service.call"))
            .await;
        let refused = refused.expect_err("new requests are rejected").to_string();
        assert!(refused.contains("RST-910503"), "{refused}");
        let address = scene.broker.uri(Transport::Tcp).replace("tcp://", "");
        until("nobody accepts", || TcpStream::connect(&address).is_err()).await;
        assert_eq!(scene.finishes().await, Some(0));
    }));
}

#[test]
fn the_admin_api_drains_and_one_signal_after_it_cuts_nothing() {
    run(LocalSet::new().run_until(async {
        let scene = Scene::new().await;
        admin(&scene.broker, "POST", "/api/v1/drain", "");
        scene.is_draining().await;
        // What Kubernetes does after a preStop hook.
        scene.broker.signal("TERM");
        until("it has heard the signal", || {
            scene.broker.log().contains("one more signal ends at once")
        })
        .await;
        assert_eq!(scene.finishes().await, Some(0));
    }));
}

#[test]
fn the_end_of_grace_cuts_and_the_exit_code_says_so() {
    run(LocalSet::new().run_until(async {
        let scene = Scene::new().await;
        let body = "{\"grace\":\"300ms\"}";
        admin(&scene.broker, "POST", "/api/v1/drain", body);
        let Scene {
            mut broker, call, ..
        } = scene;
        let cut = call.await.expect("no panic").expect_err("it is cut");
        let told = cut.to_string();
        assert!(
            told.contains("RST-910503") || told.contains("RST-910499"),
            "{told}"
        );
        let errors = blocking(move || {
            assert_eq!(broker.exit_code(SOON), Some(CUT));
            broker.errors()
        })
        .await;
        assert!(errors.contains("calls that were cut: 1"), "{errors}");
    }));
}

#[test]
fn a_second_signal_ends_at_once() {
    run(LocalSet::new().run_until(async {
        let scene = Scene::new().await;
        scene.broker.signal("TERM");
        scene.is_draining().await;
        let before = Instant::now();
        scene.broker.signal("INT");
        let Scene {
            mut broker, call, ..
        } = scene;
        call.await.expect("no panic").expect_err("it is cut");
        let code = blocking(move || broker.exit_code(SOON)).await;
        assert_eq!(code, Some(CUT));
        // The grace of a signal is 25 seconds.
        assert!(before.elapsed() < Duration::from_secs(10));
    }));
}
