//! How a connection that could go on lets others go first.

use std::pin::pin;
use std::task::Context;

/// Has the task polled again behind all that are ready, and behind what the sockets bring meanwhile.
///
/// A task that wakes itself goes behind those that are ready now and no others: tokio looks at the
/// sockets only after so many polls while any task is ready, and one connection that never rests
/// would be polled all those times.
pub fn wake_behind_others(cx: &mut Context<'_>) {
    // The first poll leaves the waker with the runtime; there is nothing to wait for here.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What a socket brings is seen after one turn of a task that never rests.
    #[tokio::test]
    async fn sockets_are_looked_at_between_two_turns() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let turns = RefCell::new(0);
        let restless = poll_fn(|cx| {
            *turns.borrow_mut() += 1;
            wake_behind_others(cx);
            Poll::<()>::Pending
        });
        let reading = async {
            // The first read finds nothing, and waits for the runtime to look.
            let (read, _) = tokio::join!(near.read_u8(), async {
                tokio::task::yield_now().await;
                far.write_u8(1).await.unwrap();
                *turns.borrow_mut() = 0;
            });
            read.unwrap();
        };
        tokio::select! {
            () = restless => unreachable!(),
            () = reading => {}
        }
        assert!(*turns.borrow() <= 3, "{} turns", turns.borrow());
    }
}
