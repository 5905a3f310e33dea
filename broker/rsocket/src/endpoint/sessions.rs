use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ServeOptions;
use super::shared::Shared;
use crate::engine::Violation;
use crate::engine::resume::{TOKEN_IN_USE, Token};
use crate::wire::ErrorCode;

/// The sessions of one server, by their tokens.
///
/// The map hashes with a secret of its own, and what it finds is compared in constant time: neither
/// tells how close a guess was.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Token, Arc<Shared>>>>);

impl Sessions {
    /// Enters a session; refuses a token in use, and one session too many.
    pub(super) fn hold(
        &self,
        token: Token,
        shared: &Arc<Shared>,
        options: &ServeOptions,
    ) -> Result<Held, Violation> {
        let most = match options.sessions {
            0 => SESSIONS_MAX,
            most => most,
        };
        let mut sessions = self.lock();
        if sessions.contains_key(&token) {
            return Err(TOKEN_IN_USE);
        }
        if sessions.len() >= most {
            return Err(Violation {
                code: ErrorCode::REJECTED_SETUP,
                text: "too many sessions: connect without the resume flag",
            });
        }
        sessions.insert(token.clone(), Arc::clone(shared));
        Ok(Held {
            sessions: self.clone(),
            token,
        })
    }

    pub(super) fn find(&self, token: &[u8]) -> Option<Arc<Shared>> {
        let token = Token::copy_from(token)?;
        self.lock().get(&token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Arc<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    sessions: Sessions,
    token: Token,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.token);
    }
}

const SESSIONS_MAX: usize = 1024;
