//! The sessions that can be resumed, by token, and how many of them may be without a transport.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jackfield_rsocket::engine::resume::Token;

use super::{
    Limits,
    handle::{Handle, LinkId, Order},
};

/// | bound | when it is reached |
/// |---|---|
/// | `parked-sessions` without a transport | the one parked longest is dropped |
/// | `parked-bytes`, all of them together | the same |
#[derive(Debug)]
pub(super) struct Sessions {
    inner: Mutex<Inner>,
    parked_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    by_token: HashMap<Token, Arc<Handle>>,
    /// Oldest first.
    parked: VecDeque<Parked>,
}

#[derive(Debug)]
struct Parked {
    link: Arc<Handle>,
    bytes: usize,
}

/// The token is another session's.
#[derive(Debug)]
pub(super) struct TokenInUse;

impl Sessions {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            inner: Mutex::default(),
            parked_max: limits.parked_sessions,
            bytes_max: limits.parked_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, token: &Token, link: &Arc<Handle>) -> Result<(), TokenInUse> {
        let mut inner = self.lock();
        if inner.by_token.contains_key(token) {
            return Err(TokenInUse);
        }
        inner.by_token.insert(token.clone(), link.clone());
        Ok(())
    }

    pub(super) fn find(&self, token: &Token) -> Option<Arc<Handle>> {
        self.lock().by_token.get(token).cloned()
    }

    pub(super) fn leave(&self, token: &Token, id: LinkId) {
        let mut inner = self.lock();
        inner.by_token.remove(token);
        inner.parked.retain(|parked| parked.link.id != id);
    }

    /// A session has no transport, and holds so many bytes now; said again when they change. Returns
    /// how many older ones have to go.
    pub(super) fn park(&self, link: &Arc<Handle>, bytes: usize) -> usize {
        let mut inner = self.lock();
        match inner
            .parked
            .iter_mut()
            .find(|parked| parked.link.id == link.id)
        {
            Some(parked) => parked.bytes = bytes,
            None => inner.parked.push_back(Parked {
                link: link.clone(),
                bytes,
            }),
        }
        let mut held: usize = inner.parked.iter().map(|parked| parked.bytes).sum();
        let mut dropped = Vec::new();
        while (held > self.bytes_max || inner.parked.len() > self.parked_max)
            && let Some(oldest) = inner.parked.pop_front()
        {
            held -= oldest.bytes;
            dropped.push(oldest.link);
        }
        drop(inner);
        dropped
            .iter()
            .for_each(|link| link.give_order(Order::Forget));
        dropped.len()
    }

    /// A session has a transport again.
    pub(super) fn unpark(&self, id: LinkId) {
        self.lock().parked.retain(|parked| parked.link.id != id);
    }

    pub(super) fn parked(&self) -> usize {
        self.lock().parked.len()
    }
}
