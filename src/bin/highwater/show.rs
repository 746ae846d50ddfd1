//! State documents, for people and as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use highwater::checkpoint::{Checkpoint, LeaseRecord};
use highwater::{Error, PollerName, Position, SealedFingerprint, StateDocument};
use serde_json::{Map, Value, json};

use crate::args::Rehearsal;
use crate::failure::Failure;

/// Writes to stdout; a reader who is gone is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        written => written.map_err(|error| Failure::Other("stdout could not be written".to_owned(), error)),
    }
}

/// What `checkpoint show` shows.
pub(crate) fn document(document: &StateDocument, as_json: bool) -> Result<(), Failure> {
    if as_json { print(format!("{}\n", json(document)).as_bytes()) } else { print(text(document).as_bytes()) }
}

/// What a command has done, or would do.
pub(crate) fn outcome(document: &StateDocument, what: &str, rehearsal: Rehearsal) -> Result<(), Failure> {
    let rehearsed = if rehearsal.dry_run { "dry run, nothing written: " } else { "" };
    let position = document.position().map_or_else(|| "the beginning".to_owned(), position);
    let (name, token) = (document.poller_name(), document.fencing_token());
    print(format!("{rehearsed}`{name}` {what}\nposition       {position}\nfencing token  {token}\n").as_bytes())
}

/// Where a poller stood before it was moved, in the form in which it can be moved back.
pub(crate) fn before(position: &Position) -> Result<(), Failure> {
    print(format!("before         {}\n", serde_json::to_value(position).unwrap_or_default()).as_bytes())
}

/// What `checkpoint list` shows.
pub(crate) fn list(found: &[(PollerName, Result<StateDocument, Error>)], as_json: bool) -> Result<(), Failure> {
    let mut shown = String::new();
    if as_json {
        for (name, document) in found {
            let line = match document {
                Ok(document) => json(document),
                Err(error) => json!({ "poller": name.as_str(), "error": error.to_string() }),
            };
            let _ = writeln!(shown, "{line}");
        }
        return print(shown.as_bytes());
    }
    let width = found.iter().map(|(name, _)| name.as_str().len()).max().unwrap_or(0).max("POLLER".len());
    let _ = writeln!(shown, "{:width$}  {:>6}  {:14}  LEASE", "POLLER", "TOKEN", "CHECKPOINT");
    for (name, document) in found {
        let _ = match document {
            Ok(document) => {
                let (token, age) = (document.fencing_token(), document.checkpoint().map(Checkpoint::updated_at));
                let age = age.map_or_else(|| "at the start".to_owned(), |at| format!("{} ago", span(Utc::now() - at)));
                writeln!(shown, "{:width$}  {token:>6}  {age:14}  {}", name.as_str(), lease(document))
            }
            Err(error) => writeln!(shown, "{:width$}  {error}", name.as_str()),
        };
    }
    print(shown.as_bytes())
}

fn text(document: &StateDocument) -> String {
    let mut shown = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(shown, "{label:13}  {value}");
    };
    line("poller", document.poller_name());
    match document.checkpoint() {
        None => line("position", "the beginning"),
        Some(checkpoint) => {
            line("position", &position(checkpoint.position()));
            line(
                "age",
                &format!("{}, written {}", span(Utc::now() - checkpoint.updated_at()), at(checkpoint.updated_at())),
            );
            let batch = |id| format!("{} rows, {id}", checkpoint.row_count());
            line("last batch", &checkpoint.batch_id().map_or_else(|| "none: an operator set it".to_owned(), batch));
        }
    }
    line("lease", &lease(document));
    if let Some(lease) = document.lease() {
        line("  owner", lease.owner_id());
        line("  acquired", &at(lease.acquired_at()));
        line("  heartbeat", &at(lease.heartbeat_at()));
        line("  expires", &at(lease.expires_at()));
    }
    line("fencing token", &document.fencing_token().to_string());
    line("revision", &document.revision().to_string());
    line("stream", document.stream_id());
    match document.source() {
        None => line("source", "none is bound to it"),
        Some(source) => {
            line("source", &source.digest());
            for (name, text) in parts(source) {
                line(&format!("  {name}"), text);
            }
        }
    }
    shown
}

fn json(document: &StateDocument) -> Value {
    let checkpoint = document.checkpoint().map(|checkpoint| {
        json!({
            "batch_id": checkpoint.batch_id(),
            "row_count": checkpoint.row_count(),
            "updated_at": at(checkpoint.updated_at()),
            "age_seconds": (Utc::now() - checkpoint.updated_at()).num_seconds(),
        })
    });
    let lease = document.lease().map(|lease| {
        json!({
            "state": if is_expired(lease) { "expired" } else { "held" },
            "owner_id": lease.owner_id(),
            "acquired_at": at(lease.acquired_at()),
            "heartbeat_at": at(lease.heartbeat_at()),
            "expires_at": at(lease.expires_at()),
        })
    });
    let source = document
        .source()
        .map(|source| parts(source).map(|(name, text)| (name.to_owned(), text.into())).collect::<Map<String, Value>>());
    json!({
        "poller": document.poller_name(),
        "position": document.position(),
        "checkpoint": checkpoint,
        "lease": lease,
        "fencing_token": document.fencing_token(),
        "revision": document.revision(),
        "stream_id": document.stream_id(),
        "source": source,
        "source_fingerprint": document.source().map(SealedFingerprint::digest),
        "deleted_at": document.deleted_at().map(at),
    })
}

/// The parts of a fingerprint that say something to people.
fn parts(source: &SealedFingerprint) -> impl Iterator<Item = (&str, &str)> {
    source.parts().filter(|(name, _)| *name != "salt")
}

/// The columns and their values, or the token.
fn position(position: &Position) -> String {
    let value = |value| serde_json::to_string(value).unwrap_or_default();
    match position {
        Position::Keyset(keyset) => {
            let columns = keyset.columns().map(|(column, exact)| format!("{} = {}", column.name, value(exact)));
            columns.collect::<Vec<_>>().join(", ")
        }
        Position::Token(token) => format!("token {token:?}"),
        _ => "of a kind that this version doesn't know".to_owned(),
    }
}

fn lease(document: &StateDocument) -> String {
    if let Some(deleted) = document.deleted_at() {
        return format!("deleted {}", at(deleted));
    }
    let Some(lease) = document.lease() else { return "free".to_owned() };
    let left = lease.expires_at() - Utc::now();
    if is_expired(lease) {
        return format!("expired {} ago; free once its margin has passed, too", span(-left));
    }
    format!("held by {} for another {}", lease.owner_id(), span(left))
}

fn is_expired(lease: &LeaseRecord) -> bool {
    lease.expires_at() <= Utc::now()
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The two largest units.
fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        for (seconds, expected) in [(-5, "0s"), (59, "59s"), (61, "1m 1s"), (3660, "1h 1m"), (90_000, "1d 1h")] {
            assert_eq!(span(TimeDelta::seconds(seconds)), expected);
        }
    }
}
