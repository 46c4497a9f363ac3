//! The seam for tests that kill the operator: between any two effects it can stop as if the process had died.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Off unless a test says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    fuse: Option<Arc<Fuse>>,
    killed: CancellationToken,
}

#[derive(Debug)]
struct Fuse {
    effects_left: AtomicUsize,
}

impl Faults {
    /// Lets `effects` effects on the outside happen, then nothing more.
    #[must_use]
    pub fn kill_after(effects: usize) -> Self {
        let fuse = Fuse {
            effects_left: AtomicUsize::new(effects),
        };
        Self {
            fuse: Some(Arc::new(fuse)),
            killed: CancellationToken::new(),
        }
    }

    /// Stands before every effect. Does not return once the fuse has burnt.
    pub(crate) async fn before_effect(&self) {
        let Some(fuse) = &self.fuse else { return };
        let take = |left: usize| left.checked_sub(1);
        if fuse
            .effects_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_err()
        {
            self.killed.cancel();
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn killed(&self) -> CancellationToken {
        self.killed.clone()
    }
}
