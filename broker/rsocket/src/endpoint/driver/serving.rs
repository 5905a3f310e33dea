//! Requests of the peer, handed to the handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::future::abortable;

use super::super::call::{Feed, Inbound, Work};
use super::super::incoming::Queue;
use super::super::{Credit, Failure, Incoming, Message};
use super::Driver;
use crate::wire::{Interaction, StreamId};

impl Driver {
    pub(super) fn dispatch(
        &mut self,
        id: StreamId,
        interaction: Interaction,
        complete: bool,
        message: Message,
    ) {
        let handler = Arc::clone(&self.handler);
        match interaction {
            Interaction::Response => {
                let reply = guarded(|| handler.request_response(message));
                self.run_made(id, reply.map(|reply| Work::Reply(id, reply)));
            }
            Interaction::Stream => {
                let items = guarded(|| handler.request_stream(message));
                self.run_made(id, items.map(|items| Work::Item(id, Some(items))));
            }
            Interaction::Channel => {
                let Some(rest) = self.incoming(id, complete) else {
                    return;
                };
                let items = guarded(|| handler.request_channel(message, rest));
                self.run_made(id, items.map(|items| Work::Item(id, Some(items))));
            }
            Interaction::FireAndForget => {
                // There is no way to refuse one but to drop it.
                if self.quiet < self.limits.streams
                    && let Ok(work) = guarded(|| handler.fire_and_forget(message))
                {
                    self.quiet += 1;
                    let (work, _) = abortable(Work::Quiet(work));
                    self.work.push(work);
                }
            }
        }
    }

    fn run_made(&mut self, id: StreamId, work: Result<Work, Failure>) {
        match work {
            Ok(work) => self.run_work(id, work),
            Err(failure) => self.fail(id, failure),
        }
    }

    /// The items a channel's requester sends behind its first.
    fn incoming(&mut self, id: StreamId, complete: bool) -> Option<Incoming> {
        let call = self.connection.get_mut(id)?;
        let queue = Arc::new(Queue::default());
        let credit = Credit::window(self.limits.channel_window);
        call.inbound = Inbound::Items(Feed(Arc::clone(&queue)));
        if complete {
            call.inbound.complete();
        } else {
            self.out.request_n(id, credit.initial);
        }
        let ticket = Arc::clone(&call.ticket);
        Some(Incoming::new(
            queue,
            Arc::clone(&self.shared),
            ticket,
            credit,
        ))
    }
}

/// Runs code of the user: what panics in it fails its own stream and nothing else.
pub(in super::super) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Failure::application("the handler failed"))
}
