//! A lease that is held: committing under it, and keeping it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::CheckpointStore;
use super::lease::{Commit, Intention};
use super::writer::Writer;
use crate::error::{Error, ErrorKind};
use crate::position::Position;

/// A lease that was taken: the right to commit, until it is lost.
///
/// Whoever drops it without releasing it leaves it to expire.
pub struct HeldLease<C> {
    writer: Arc<Writer<C>>,
    checkpoint: Option<Position>,
}

impl<C> HeldLease<C> {
    pub(crate) fn new(writer: Writer<C>) -> Self {
        let checkpoint = writer.position();
        Self { writer: Arc::new(writer), checkpoint }
    }

    /// The checkpoint as of the last commit, or of the acquisition; `None` at the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Position> {
        self.checkpoint.as_ref()
    }

    /// The token of this acquisition: higher than that of any before.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.writer.fencing_token
    }

    /// The id of this acquisition.
    #[must_use]
    pub fn owner_id(&self) -> &str {
        &self.writer.owner_id
    }

    /// What the ids of the poller's events hang on.
    #[must_use]
    pub fn stream_id(&self) -> &str {
        &self.writer.stream_id
    }

    /// A handle that keeps and watches the lease while the batch is handled.
    #[must_use]
    pub fn keeper(&self) -> LeaseKeeper<C> {
        LeaseKeeper { writer: Arc::clone(&self.writer) }
    }
}

impl<C: CheckpointStore> HeldLease<C> {
    /// Acknowledges a batch that was read after [`checkpoint`](Self::checkpoint), and renews the lease: one write.
    ///
    /// # Errors
    ///
    /// - `LostLease`: the lease has ended; the checkpoint did not move by this call.
    /// - `Commit`: the store refused for good, or an earlier commit that was given up has landed after all. The
    ///   checkpoint did not move by this call; `checkpoint` says where it stands.
    /// - `CommitUnknown`: the store did not say in time whether it was written. The lease has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, the commit may have landed or may still land. Nothing is forgotten: the next call
    /// settles it, as [`settle`](Self::settle) does without another commit.
    pub async fn commit(&mut self, commit: Commit<'_>) -> Result<(), Error> {
        let written = self.writer.write(Intention::Commit { commit, after: self.checkpoint.as_ref() }).await;
        match written {
            Ok(()) => self.checkpoint = Some(commit.position.clone()),
            Err(_) => self.checkpoint = self.writer.position(),
        }
        written
    }

    /// Acknowledges the last batch and frees the lease in the same write.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit). After an error the lease is left to expire.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, the lease may be left to expire.
    pub async fn commit_and_release(self, commit: Commit<'_>) -> Result<(), Error> {
        self.writer.write(Intention::CommitAndRelease { commit, after: self.checkpoint.as_ref() }).await
    }

    /// Frees the lease: others may take it at once.
    ///
    /// # Errors
    ///
    /// `LostLease` where it has ended already, and may be somebody else's; `Checkpoint` where the store fails. The
    /// lease is then left to expire.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, the lease may be left to expire.
    pub async fn release(self) -> Result<(), Error> {
        self.writer.write(Intention::Release).await
    }

    /// Finds out what became of a commit that was given up, so that [`checkpoint`](Self::checkpoint) is true again.
    /// Costs nothing where no write is open, and one otherwise.
    ///
    /// # Errors
    ///
    /// `LostLease` where the lease has ended, `Checkpoint` where the store fails for good.
    ///
    /// # Cancel safety
    ///
    /// Safe: calling it again goes on.
    pub async fn settle(&mut self) -> Result<(), Error> {
        if self.writer.is_unsettled() {
            self.writer.write(Intention::Renew { beyond: self.writer.revision() }).await?;
        }
        self.checkpoint = self.writer.position();
        Ok(())
    }
}

impl<C> fmt::Debug for HeldLease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease")
            .field("name", &self.writer.name)
            .field("owner_id", &self.writer.owner_id)
            .field("fencing_token", &self.writer.fencing_token)
            .finish_non_exhaustive()
    }
}

/// Keeps and watches a lease while something else goes on: heartbeats, and the deadline.
///
/// It renews only while [`keep`](Self::keep) is polled, so a poller that is dropped lets its lease expire.
pub struct LeaseKeeper<C> {
    writer: Arc<Writer<C>>,
}

impl<C> LeaseKeeper<C> {
    /// Whether the lease still stands: two clock reads and a lock. Ask before every effect.
    ///
    /// # Errors
    ///
    /// `LostLease` as soon as the deadline has passed on either clock, or a write has found it lost; from then on
    /// always.
    pub fn check(&self) -> Result<(), Error> {
        self.writer.check()
    }

    /// Whether the lease is lost for no other reason than that we released it.
    pub(crate) fn is_released(&self) -> bool {
        self.writer.is_released()
    }

    /// What the loss is to a delivery that is dropped for it: `CommitUnknown` where its commit is in doubt.
    pub(crate) fn given_up(&self, lost: Error) -> Error {
        self.writer.given_up(lost)
    }

    /// The time to the deadline, by whichever clock is nearer to it; zero once the lease is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.writer.remaining().unwrap_or_default()
    }

    /// Completes when the lease is lost: its deadline has passed unrenewed, or a write has found it lost. Wakes
    /// every fortieth of the TTL to look at both clocks, for no timer notices that a machine was suspended.
    ///
    /// # Cancel safety
    ///
    /// Safe: calling it again goes on.
    pub async fn expired(&self) -> Error {
        loop {
            match self.writer.remaining() {
                Ok(remaining) => self.writer.sleep(remaining.min(self.watch_interval())).await,
                Err(lost) => return lost,
            }
        }
    }

    fn watch_interval(&self) -> Duration {
        self.writer.settings.lease_ttl() / 40
    }
}

impl<C: CheckpointStore> LeaseKeeper<C> {
    /// Frees the lease, as [`HeldLease::release`] does, when the delivery that had it was given up.
    pub(crate) async fn release(&self) -> Result<(), Error> {
        self.writer.write(Intention::Release).await
    }

    /// Renews the lease whenever the last acknowledged write is a heartbeat's interval ago. Returns only when the
    /// lease is lost: failures of the store are retried up to the deadline.
    ///
    /// # Cancel safety
    ///
    /// Safe: calling it again goes on.
    pub async fn keep(&self) -> Error {
        let mut cause = None;
        loop {
            if let Err(lost) = self.writer.check() {
                return match cause {
                    Some(cause) => lost.with_source(cause),
                    None => lost,
                };
            }
            let due = self.writer.until_heartbeat();
            if !due.is_zero() {
                self.writer.sleep(due.min(self.watch_interval())).await;
                continue;
            }
            match self.writer.write(Intention::Renew { beyond: self.writer.revision() }).await {
                Ok(()) => cause = None,
                Err(error) if error.kind() == ErrorKind::LostLease => return error,
                Err(error) => {
                    tracing::warn!(poller = %self.writer.name, error = %error, "a heartbeat failed; trying again");
                    cause = Some(error);
                    self.writer.sleep(self.watch_interval()).await;
                }
            }
        }
    }
}

impl<C> Clone for LeaseKeeper<C> {
    fn clone(&self) -> Self {
        Self { writer: Arc::clone(&self.writer) }
    }
}

impl<C> fmt::Debug for LeaseKeeper<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseKeeper").field("name", &self.writer.name).finish_non_exhaustive()
    }
}
