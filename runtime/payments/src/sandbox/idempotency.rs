//! `Idempotency-Key`: the first answer to a key is the answer for ever; the same key with other parameters is an error.
//! As at Stripe, an answer is kept only if the request was carried out: what a check of the parameters refused, or what
//! was refused for lack of room, may come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::sandbox::complaints::Dispute;
use crate::sandbox::fault::Fault;
use crate::sandbox::intents::{Intent, IntentState};
use crate::sandbox::refunds::Refund;

/// Longest key, characters.
pub(super) const KEY_CHARS_MAX: usize = 255;

/// Keys are spread over this many locks. A lock is held while its request is carried out, so that a repeat that arrives
/// meanwhile waits for the answer; that takes microseconds and never waits for the network.
const SHELVES: usize = 16;

/// What a request did: enough to write the same answer again.
#[derive(Debug, Clone)]
pub(super) enum Done {
    /// The payment as it was then.
    Intent(Arc<Intent>, Box<IntentState>),
    /// The refund; it never changes.
    Refund(Arc<Refund>),
    /// The dispute that was given up; it stays so.
    Dispute(Arc<Dispute>),
}

/// Path and parameters of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(path: &str, body: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update(path)
                .chain_update([0])
                .chain_update(body)
                .finalize()
                .into(),
        )
    }
}

/// Keys and their answers.
#[derive(Debug)]
pub(super) struct Keys {
    shelf_limit: usize,
    shelves: [Mutex<HashMap<Box<str>, Answer>>; SHELVES],
}

#[derive(Debug)]
struct Answer {
    asked: Fingerprint,
    done: Result<Done, Fault>,
}

impl Keys {
    pub(super) fn new(limit: usize) -> Self {
        let shelves = std::array::from_fn(|_| Mutex::new(HashMap::new()));
        Self {
            shelf_limit: limit / SHELVES,
            shelves,
        }
    }

    /// Carries `act` out unless `key` was answered before. The second value says whether this is a repeat.
    pub(super) fn once(
        &self,
        key: &str,
        asked: Fingerprint,
        act: impl FnOnce() -> Result<Done, Fault>,
    ) -> (Result<Done, Fault>, bool) {
        let mut answers = self
            .shelf(key)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(key) {
            if answer.asked != asked {
                let message = format!(
                    "This idempotency key was first used with other parameters: '{}'. Use another \
                     key for another request.",
                    key.escape_default()
                );
                return (Err(Fault::idempotency(message)), false);
            }
            return (answer.done.clone(), true);
        }
        if answers.len() >= self.shelf_limit {
            return (
                Err(Fault::full(self.shelf_limit * SHELVES, "idempotency key")),
                false,
            );
        }
        let done = act();
        if !done.as_ref().is_err_and(Fault::is_passing) {
            answers.insert(
                key.into(),
                Answer {
                    asked,
                    done: done.clone(),
                },
            );
        }
        (done, false)
    }

    fn shelf(&self, key: &str) -> &Mutex<HashMap<Box<str>, Answer>> {
        let sum = key.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        &self.shelves[sum % SHELVES]
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn refusal() -> Result<Done, Fault> {
        Err(Fault::request(StatusCode::BAD_REQUEST, "no".to_owned()))
    }

    #[test]
    fn a_key_is_carried_out_once_and_bound_to_its_parameters() {
        let keys = Keys::new(160);
        let (one, other) = (Fingerprint::of("/a", b"x=1"), Fingerprint::of("/a", b"x=2"));
        let mut runs = 0;
        for repeat in [false, true, true] {
            let (_, replayed) = keys.once("k", one, || {
                runs += 1;
                refusal()
            });
            assert_eq!(replayed, repeat);
        }
        assert_eq!(runs, 1);
        let (done, replayed) =
            keys.once("k", other, || panic!("other parameters were carried out"));
        assert!(done.is_err() && !replayed);
    }

    #[test]
    fn what_passes_by_is_not_remembered() {
        let keys = Keys::new(160);
        let asked = Fingerprint::of("/a", b"");
        let mut runs = 0;
        for _ in 0..2 {
            let (_, replayed) = keys.once("k", asked, || {
                runs += 1;
                Err(Fault::busy("later".to_owned()))
            });
            assert!(!replayed);
        }
        assert_eq!(runs, 2);
    }

    #[test]
    fn path_and_body_do_not_run_together() {
        assert_ne!(Fingerprint::of("/a", b"b"), Fingerprint::of("/ab", b""));
    }
}
