//! A wire that can be cut, for tests that wait for processes: the cutter on a thread of its own.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use tokio::sync::mpsc;

use crate::cutter::Cutter;

pub(super) struct Wire {
    uri: String,
    /// True to cut, false to mend.
    orders: mpsc::Sender<bool>,
    done: Receiver<()>,
}

impl Wire {
    /// A way to `uri`, `tcp://host:port`.
    pub(super) fn start(uri: &str) -> Self {
        let (orders, inbox) = mpsc::channel(1);
        let (reply, done) = sync_channel(1);
        let (name, named) = sync_channel(1);
        let uri = uri.to_owned();
        // It ends when the wire is dropped.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime")
                .block_on(serve(uri, inbox, name, reply));
        });
        let uri = named.recv().expect("the cutter listens");
        Self { uri, orders, done }
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn cut(&self) {
        self.order(true);
    }

    pub(super) fn mend(&self) {
        self.order(false);
    }

    fn order(&self, cut: bool) {
        self.orders.blocking_send(cut).expect("the cutter lives");
        self.done.recv().expect("the cutter lives");
    }
}

async fn serve(
    uri: String,
    mut orders: mpsc::Receiver<bool>,
    name: SyncSender<String>,
    done: SyncSender<()>,
) {
    let cutter = Cutter::start(&uri).await;
    // The owner waits for these, or has gone.
    let _ = name.send(cutter.uri().to_owned());
    while let Some(cut) = orders.recv().await {
        if cut {
            cutter.cut().await;
        } else {
            cutter.mend();
        }
        let _ = done.send(());
    }
}
