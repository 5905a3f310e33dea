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
    parked: VecDeque<Arc<Handle>>,
    /// What each of them holds, and all of them together.
    bytes: HashMap<LinkId, usize>,
    held: usize,
}

impl Inner {
    fn unpark(&mut self, id: LinkId) {
        if let Some(bytes) = self.bytes.remove(&id) {
            self.held -= bytes;
            self.parked.retain(|link| link.id != id);
        }
    }
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
        // A later session of the same token keeps it.
        if inner.by_token.get(token).is_some_and(|link| link.id == id) {
            inner.by_token.remove(token);
        }
        inner.unpark(id);
    }

    /// A session has no transport, and holds so many bytes now; said again when they change. Returns
    /// how many older ones have to go.
    pub(super) fn park(&self, link: &Arc<Handle>, bytes: usize) -> usize {
        let mut inner = self.lock();
        inner.held += bytes;
        match inner.bytes.insert(link.id, bytes) {
            Some(before) => inner.held -= before,
            None => inner.parked.push_back(link.clone()),
        }
        let mut dropped = Vec::new();
        while (inner.held > self.bytes_max || inner.parked.len() > self.parked_max)
            && let Some(oldest) = inner.parked.front().cloned()
        {
            inner.unpark(oldest.id);
            dropped.push(oldest);
        }
        drop(inner);
        dropped
            .iter()
            .for_each(|link| link.give_order(Order::Forget));
        dropped.len()
    }

    /// A session has a transport again.
    pub(super) fn unpark(&self, id: LinkId) {
        self.lock().unpark(id);
    }

    pub(super) fn parked(&self) -> usize {
        self.lock().parked.len()
    }
}
