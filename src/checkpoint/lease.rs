//! The transitions of a lease: pure functions of documents, with time and randomness as arguments.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Map;

use super::document::{Checkpoint, LeaseRecord, StateDocument};
use super::{PollerName, Version};
use crate::error::{Error, ErrorKind};
use crate::fingerprint::{Fingerprint, SealedFingerprint};
use crate::position::Position;

/// A batch whose handler has completed, to be acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The position of its last row.
    pub position: &'a Position,
    /// Its id; each batch has its own.
    pub batch_id: &'a str,
    /// How many rows it had.
    pub row_count: u64,
}

/// Who holds a lease, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// The owner's id.
    pub owner_id: String,
    /// The owner's token.
    pub fencing_token: u64,
    /// When the lease ends unless renewed, by its owner's clock.
    pub expires_at: DateTime<Utc>,
    /// When others may take it over: the margin later.
    pub free_at: DateTime<Utc>,
}

/// Whether a lease can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// Nobody has one: released, never taken, or a tombstone.
    Free,
    /// Its owner has let it expire by more than the margin.
    Expired,
    /// Somebody lives.
    Held(HeldBy),
}

/// Whether the document's lease can be taken now.
pub(crate) fn availability(document: &StateDocument, now: DateTime<Utc>, margin: Duration) -> Availability {
    let Some(lease) = &document.lease else { return Availability::Free };
    let free_at = after(lease.expires_at, margin);
    if now >= free_at {
        return Availability::Expired;
    }
    Availability::Held(HeldBy {
        owner_id: lease.owner_id.clone(),
        fencing_token: document.fencing_token,
        expires_at: lease.expires_at,
        free_at,
    })
}

/// What somebody who wants the lease brings along.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a PollerName,
    pub(crate) source: &'a Fingerprint,
    pub(crate) owner_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) now: DateTime<Utc>,
    pub(crate) ttl: Duration,
    /// The stream id and the salt of a document that has none yet.
    pub(crate) fresh: &'a str,
}

/// The document by which the claim takes a lease that is there for the taking: the token one higher.
pub(crate) fn acquire(document: Option<&StateDocument>, claim: &Claim<'_>) -> Result<StateDocument, Error> {
    let mut next = match document {
        Some(document) if document.deleted_at.is_none() => document.clone(),
        Some(tombstone) => reborn(tombstone, claim),
        None => StateDocument::empty(claim.name, claim.fresh),
    };
    match &next.source {
        Some(before) => same_source(before, claim)?,
        None => next.bind(claim.source.seal(claim.fresh)),
    }
    next.revision += 1;
    claim.nonce.clone_into(&mut next.writer);
    next.fencing_token += 1;
    next.lease = Some(LeaseRecord {
        owner_id: claim.owner_id.to_owned(),
        acquired_at: claim.now,
        heartbeat_at: claim.now,
        expires_at: after(claim.now, claim.ttl),
        extra: Map::new(),
    });
    Ok(next)
}

/// A poller that begins anew where one was deleted: another stream, but token and revision go on.
fn reborn(tombstone: &StateDocument, claim: &Claim<'_>) -> StateDocument {
    let mut next = StateDocument::empty(claim.name, claim.fresh);
    next.revision = tombstone.revision;
    next.fencing_token = tombstone.fencing_token;
    next
}

fn same_source(before: &SealedFingerprint, claim: &Claim<'_>) -> Result<(), Error> {
    let differences = before.differences(&claim.source.seal(before.salt()));
    if differences.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}; run `checkpoint adopt` to go on from the same position, or `checkpoint reset` to begin anew",
        differences.join("; ")
    );
    Err(Error::new(ErrorKind::FingerprintMismatch, message).with_poller(claim.name.as_str()))
}

/// What an owner wants to be true of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Intention<'a> {
    /// The lease lives on, renewed no earlier than at this revision.
    Renew { beyond: u64 },
    /// The batch that was read after `after` is acknowledged.
    Commit { commit: Commit<'a>, after: Option<&'a Position> },
    /// The same, and the lease is free.
    CommitAndRelease { commit: Commit<'a>, after: Option<&'a Position> },
    /// The lease is free.
    Release,
}

impl<'a> Intention<'a> {
    pub(crate) fn commit(&self) -> Option<Commit<'a>> {
        match self {
            Self::Commit { commit, .. } | Self::CommitAndRelease { commit, .. } => Some(*commit),
            Self::Renew { .. } | Self::Release => None,
        }
    }

    fn releases(&self) -> bool {
        matches!(self, Self::Release | Self::CommitAndRelease { .. })
    }

    /// Whether it is true of the document already.
    pub(crate) fn is_fulfilled(&self, document: &StateDocument) -> bool {
        let released = !self.releases() || document.lease.is_none();
        match self {
            Self::Renew { beyond } => document.lease.is_some() && document.revision > *beyond,
            Self::Release => released,
            Self::Commit { commit, .. } | Self::CommitAndRelease { commit, .. } => {
                released && is_committed(document, *commit)
            }
        }
    }
}

/// Whether the document stands where the commit would bring it, by the same batch.
pub(crate) fn is_committed(document: &StateDocument, commit: Commit<'_>) -> bool {
    document.checkpoint.as_ref().is_some_and(|checkpoint| {
        checkpoint.cursor == *commit.position && checkpoint.batch_id() == Some(commit.batch_id)
    })
}

/// When a write is made, and under which nonce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) now: DateTime<Utc>,
    pub(crate) ttl: Duration,
}

/// The document that makes the intention true, on top of `base`. Every write renews the lease or frees it.
///
/// `None` where the intention no longer suits the base: its batch was read after another position, so that
/// committing it could take the checkpoint back.
pub(crate) fn apply(base: &StateDocument, intention: &Intention<'_>, stamp: Stamp<'_>) -> Option<StateDocument> {
    let mut next = base.clone();
    if let Intention::Commit { commit, after } | Intention::CommitAndRelease { commit, after } = intention {
        if base.position() != *after && base.position() != Some(commit.position) {
            return None;
        }
        let checkpoint = Checkpoint::new(commit.position.clone(), Some(commit.batch_id), commit.row_count, stamp.now);
        next.checkpoint = Some(checkpoint);
    }
    next.revision += 1;
    stamp.nonce.clone_into(&mut next.writer);
    if intention.releases() {
        next.lease = None;
    } else if let Some(lease) = &mut next.lease {
        lease.heartbeat_at = stamp.now;
        lease.expires_at = after(stamp.now, stamp.ttl);
    }
    Some(next)
}

/// What a read-back says about an owner's writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadBack {
    /// The document is what it was, or the read is older than what we know; a write on its way may still land.
    Unchanged,
    /// A write of ours has landed.
    Ours,
    /// The document is somebody else's now.
    Lost(Loss),
}

/// How a lease was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The deadline passed.
    Expired,
    /// Somebody else wrote.
    TakenOver { fencing_token: u64 },
    /// The document is gone.
    Purged,
    /// We released it.
    Released,
}

impl Loss {
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Expired => "the deadline passed before a write that renews it was acknowledged".to_owned(),
            Self::TakenOver { fencing_token } => {
                format!("somebody else has taken it or changed the checkpoint (fencing token {fencing_token} now)")
            }
            Self::Purged => "the state document was purged from the store".to_owned(),
            Self::Released => "it was released".to_owned(),
        }
    }
}

/// Judges a read-back against the document that the owner built on and the nonces that it has not settled.
pub(crate) fn judge<'n>(
    base: (&StateDocument, &Version),
    mut unsettled: impl Iterator<Item = &'n str>,
    seen: Option<(&StateDocument, &Version)>,
) -> ReadBack {
    let Some((document, version)) = seen else { return ReadBack::Lost(Loss::Purged) };
    let (base, base_version) = base;
    if version == base_version || document.writer == base.writer {
        return ReadBack::Unchanged;
    }
    if document.fencing_token == base.fencing_token {
        if unsettled.any(|nonce| nonce == document.writer) {
            return ReadBack::Ours;
        }
        if document.revision < base.revision {
            // The read was overtaken by another write of ours: it is older than what we know.
            return ReadBack::Unchanged;
        }
    }
    ReadBack::Lost(Loss::TakenOver { fencing_token: document.fencing_token })
}

/// Whether a commit of unknown outcome surely did not land, told from the document of the one who came after us:
/// it follows the base directly, or stands where the base stood.
pub(crate) fn surely_not_committed(base: &StateDocument, seen: &StateDocument) -> bool {
    seen.revision == base.revision + 1 || seen.checkpoint == base.checkpoint
}

/// The instant that lies so much later, or the end of time.
pub(crate) fn after(instant: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| instant.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
