//! Plugins that fetch metrics, in the real broker: what applications say of themselves, and what they say before they go.

use std::process::Command;

use futures_util::stream;
use jackfield_rsocket::endpoint::{ConnectOptions, Message, Requester, Responder, connect};
use serde_json::Value;

use super::metered;
use crate::{
    broker::{Broker, CONFIG},
    interop::{installed, root},
    process::Process,
    program::{
        admin::{exchange, until},
        run,
    },
};

const KEY: &str = include_str!("../../../../plugins/metrics-micrometer/src/test-key.pem");

/// A broker for Micrometer's clients, with a key for them or without.
pub(super) fn broker(key: bool) -> Broker {
    let key = if key {
        format!("[plugin.settings]\nkey = \"\"\"{KEY}\"\"\"\n")
    } else {
        String::new()
    };
    Broker::start_with(&format!(
        "{CONFIG}\n[[listen]]\nuri = \"tcp://127.0.0.1:0\"\nscrape-only = \"micrometer\"\n\
         [[plugin]]\nname = \"text\"\nfile = \"builtin:metrics-text\"\n\
         [plugin.settings]\nroutes = [\"shop.Stats.page\"]\nstream = true\ndrop = [\"jvm_*\"]\n\
         labels = {{ team = \"shop\" }}\n\
         [[plugin]]\nname = \"alibaba\"\nfile = \"builtin:metrics-alibaba\"\n\
         [[plugin]]\nname = \"micrometer\"\nfile = \"builtin:metrics-micrometer\"\n\
         deadline = \"2s\"\n{key}"
    ))
}

/// What Prometheus would get: status and body.
fn get(broker: &Broker, path: &str) -> (u16, String) {
    let host = broker.http();
    let answer = exchange(
        host,
        &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"),
    );
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

async fn scrape(broker: &Broker, path: &str) -> (u16, String) {
    // The application may live on this thread.
    let (host, path) = (broker.http().to_owned(), path.to_owned());
    let answer = tokio::task::spawn_blocking(move || {
        exchange(
            &host,
            &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"),
        )
    });
    let answer = answer.await.expect("no panic");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// The labels of the applications of a name.
fn targets(broker: &Broker, job: &str) -> Vec<Value> {
    let (status, body) = get(broker, "/metrics/sd");
    assert_eq!(status, 200, "{body}");
    let targets: Vec<Value> = serde_json::from_str(&body).expect("JSON");
    let labels = targets.into_iter().map(|target| target["labels"].clone());
    labels.filter(|labels| labels["job"] == job).collect()
}

async fn path_of(broker: &Broker, job: &str) -> String {
    until("it is a target", || targets(broker, job).len() == 1).await;
    let target = &targets(broker, job)[0];
    target["__metrics_path__"]
        .as_str()
        .expect("a path")
        .to_owned()
}

/// A stand-in for Micrometer's client: it announces nothing, answers whatever it is asked, and reads the data only.
async fn client(broker: &Broker, greeted: tokio::sync::mpsc::Sender<String>) -> Requester {
    let answer = |request: Message| async move {
        assert!(request.metadata.is_none_or(|metadata| metadata.is_empty()));
        assert_eq!(&request.data[..], b"plaintext");
        Ok(Message::new("# TYPE a gauge\na 1\n").with_metadata("plaintext"))
    };
    let heard = move |told: Message| {
        let _ = greeted.try_send(String::from_utf8_lossy(&told.data).into_owned());
        async {}
    };
    let mut options = ConnectOptions::new();
    options.metadata_mime = "application/binary".into();
    let options = options.serve(Responder::new().response(answer).fire_and_forget(heard));
    let uri = broker.others()[0].parse().expect("a uri");
    connect(&uri, options).await.expect("the broker accepts")
}

#[test]
fn who_says_nothing_can_be_scraped_and_heard() {
    let broker = broker(false);
    run(async {
        let (tell, mut greeted) = tokio::sync::mpsc::channel(8);
        let app = client(&broker, tell).await;
        assert_eq!(greeted.recv().await.as_deref(), Some("plaintext"));
        let path = path_of(&broker, "micrometer").await;
        let page = "# TYPE a gauge\na 1\n".to_owned();
        assert_eq!(scrape(&broker, &path).await, (200, page));
        // It may push, and do nothing else.
        let last = Message::new("a 2\n").with_metadata("plaintext");
        app.request_response(last).await.expect("it is heard");
        app.close();
        until("only the last word is left", || {
            super::metrics(&broker).contains("jackfield_apps 0\n")
        })
        .await;
        assert_eq!(targets(&broker, "micrometer").len(), 1);
        assert_eq!(scrape(&broker, &path).await, (200, "a 2\n".to_owned()));
        assert_eq!(scrape(&broker, &path).await.0, 404);
        assert!(targets(&broker, "micrometer").is_empty());
        let counted = "jackfield_app_last_metrics_total{outcome=\"kept\"} 1";
        assert!(super::metrics(&broker).contains(counted));
    });
}

/// Where nothing says otherwise, who says nothing is nobody.
#[test]
fn elsewhere_who_says_nothing_is_no_target() {
    let broker = broker(false);
    run(async {
        let uri = broker
            .uri(crate::broker::Transport::Tcp)
            .parse()
            .expect("a uri");
        let nobody = connect(&uri, ConnectOptions::new())
            .await
            .expect("accepted");
        let _known = metered(&broker, "known", || async { Ok(Message::new("a 1\n")) }).await;
        path_of(&broker, "known").await;
        assert!(targets(&broker, "micrometer").is_empty());
        let error = nobody.request_response(Message::new("a 1\n")).await;
        assert!(error.unwrap_err().to_string().contains("RST-"));
    });
}

/// A page in parts, which the plugin reviews family by family.
#[test]
fn a_plugin_asks_reads_and_reviews() {
    let broker = broker(false);
    run(async {
        let parts = [
            "# TYPE jvm_x gauge\njvm_x 1\n# TYPE o",
            "k_total counter\nok_total{a=\"b\"} 2\n",
        ];
        let answer = Responder::new()
            .stream(move |_| stream::iter(parts.map(|part| Ok(Message::new(part)))));
        let options = ConnectOptions::app("parts")
            .publish("shop.Stats")
            .expect("a name");
        let uri = broker
            .uri(crate::broker::Transport::Tcp)
            .parse()
            .expect("a uri");
        let _app = connect(&uri, options.serve(answer))
            .await
            .expect("accepted");
        let path = path_of(&broker, "parts").await;
        let page = "# TYPE ok_total counter\nok_total{a=\"b\",team=\"shop\"} 2\n";
        assert_eq!(scrape(&broker, &path).await, (200, page.to_owned()));
    });
}

/// An application of Micrometer's own client, unmodified.
pub(super) fn micrometer(broker: &Broker) -> Option<Process> {
    let jar = "tests/interop/java/target/interop.jar";
    if !installed("metrics of Micrometer", &[jar], "java") {
        return None;
    }
    let mut java = Command::new("java");
    java.arg("-cp").arg(root().join(jar)).arg("Metered");
    java.arg(&broker.others()[0]);
    let process = Process::start("micrometer", java, broker.folder());
    process.expect("line that says it serves", |line| {
        line.starts_with("serving").then_some(())
    });
    Some(process)
}

/// Plain text while it lives; with a key its pages are sealed, and it pushes once more before it ends.
#[test]
fn micrometers_own_client_is_scraped_and_heard_once_more() {
    for key in [false, true] {
        let broker = broker(key);
        let Some(app) = micrometer(&broker) else {
            return;
        };
        run(async {
            let path = path_of(&broker, "micrometer").await;
            let (status, page) = get(&broker, &path);
            assert_eq!(status, 200, "{page}");
            assert!(page.contains("app_answer{language=\"java\"} 42"), "{page}");
            assert!(page.contains("app_lives_total 0"), "{page}");
            let pid = app.id().to_string();
            let told = Command::new("kill").args(["-s", "TERM", &pid]).status();
            assert!(told.expect("kill runs").success());
            until("it has gone", || {
                let page = super::metrics(&broker);
                // What it pushed has to be opened, too.
                let heard = page.contains("jackfield_app_last_metrics_total{outcome=\"kept\"} 1");
                page.contains("jackfield_apps 0\n") && heard == key
            })
            .await;
            let (status, page) = get(&broker, &path);
            assert_eq!(status, if key { 200 } else { 404 }, "{page}");
            assert_eq!(page.contains("app_lives_total 1"), key, "{page}");
            assert_eq!(get(&broker, &path).0, 404);
        });
    }
}
