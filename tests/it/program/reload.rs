//! The configuration file under the broker's feet: gone, back, refused.

use std::fs;

use tokio::task::LocalSet;

use super::{
    admin::{reload, until},
    run,
};
use crate::broker::{Broker, CONFIG};

#[test]
fn a_file_that_is_gone_is_told_and_changes_nothing() {
    let broker = Broker::start_with(CONFIG);
    let file = broker.folder().join("jackfield.toml");
    let says = |words: &str| broker.log().matches(words).count();
    run(LocalSet::new().run_until(async {
        fs::remove_file(&file).expect("it is there");
        until("it is told", || says("the configuration file is gone") == 1).await;
        fs::write(&file, CONFIG.replace("threads = 1", "threads = 2")).expect("a file");
        until("it is taken up again", || says("node.threads") == 1).await;
        assert_eq!(says("the configuration file is gone"), 1, "once");
    }));
}

#[test]
fn a_file_that_is_refused_is_told_once() {
    let broker = Broker::start_with(CONFIG);
    let file = broker.folder().join("jackfield.toml");
    let says = |words: &str| broker.log().matches(words).count();
    run(LocalSet::new().run_until(async {
        // The demand and the watcher see the same change.
        fs::write(&file, CONFIG.replace("threads", "thredas")).expect("a file");
        reload(&broker);
        until("it is refused", || says("nothing has changed") >= 1).await;
        // What came later is told, so whatever the watcher had to say it has said.
        fs::write(&file, CONFIG.replace("threads", "threats")).expect("a file");
        until("the next one is refused", || {
            says("unknown key `threats`") >= 1
        })
        .await;
        assert_eq!(says("unknown key `thredas`"), 1);
        fs::write(&file, CONFIG.replace("threads = 1", "threads = 2")).expect("a file");
        until("the good one is taken up", || says("was reloaded") == 1).await;
        assert_eq!(says("unknown key `threats`"), 1);
    }));
}
