//! The state document: what a store keeps of one poller.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PollerName;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::SealedFingerprint;
use crate::position::Position;

/// The version of the format that this library writes, and the newest that it reads.
const VERSION: u32 = 1;

/// One poller's state: how far it got, and who may go on.
///
/// In the store it is one JSON object. Fields that this version of the library doesn't know are kept when it writes;
/// those within a checkpoint or a lease go with the checkpoint or lease that they describe. `Debug` shows no value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StateDocument {
    pub(crate) version: u32,
    pub(crate) stream_id: String,
    pub(crate) revision: u64,
    pub(crate) writer: String,
    pub(crate) fencing_token: u64,
    pub(crate) poller_name: String,
    pub(crate) source: Option<SealedFingerprint>,
    pub(crate) source_fingerprint: Option<String>,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) lease: Option<LeaseRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl StateDocument {
    /// A document that nobody holds and that stands at the beginning.
    pub(crate) fn empty(name: &PollerName, stream_id: &str) -> Self {
        Self {
            version: VERSION,
            stream_id: stream_id.to_owned(),
            revision: 0,
            writer: String::new(),
            fencing_token: 0,
            poller_name: name.as_str().to_owned(),
            source: None,
            source_fingerprint: None,
            checkpoint: None,
            lease: None,
            deleted_at: None,
            extra: Map::new(),
        }
    }

    /// Reads a document, of whichever poller.
    ///
    /// # Errors
    ///
    /// `CorruptState`, where the bytes are no such document, or one of a later version of the format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        // serde's own message may quote what it stumbled over, so only the place is passed on.
        let corrupt = |error: &serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = if error.is_data() { "is not a state document of version 1" } else { "is not whole JSON" };
            Error::new(ErrorKind::CorruptState, format!("the document {what} ({place}); {MEND}"))
        };
        let head: Head = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
        if head.version > u64::from(VERSION) {
            let newer = head.version;
            return Err(Error::new(
                ErrorKind::CorruptState,
                format!(
                    "the document has version {newer} of the format, this highwater reads up to {VERSION}; upgrade it"
                ),
            ));
        }
        if head.version == 0 {
            return Err(Error::new(ErrorKind::CorruptState, format!("the document has version 0; {MEND}")));
        }
        serde_json::from_slice(bytes).map_err(|error| corrupt(&error))
    }

    /// Reads the document that was found under a poller's name.
    pub(crate) fn of(name: &PollerName, bytes: &[u8]) -> Result<Self, Error> {
        let document = Self::from_json(bytes).map_err(|error| error.with_poller(name.as_str()))?;
        if document.poller_name == name.as_str() {
            return Ok(document);
        }
        let message = format!(
            "the document belongs to a poller of another name, {:?}; copy with `checkpoint clone`, which keeps the \
             two apart, and choose names that differ in more than upper and lower case",
            document.poller_name
        );
        Err(Error::new(ErrorKind::CorruptState, message).with_poller(name.as_str()))
    }

    /// The document as JSON, as it stands in the store.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "no document can make it panic")]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and times always make JSON")
    }

    /// What the ids of this poller's events hang on: chosen once, kept over resets.
    #[must_use]
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// How often the document was written.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The token of the latest acquisition; it never falls.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.fencing_token
    }

    /// The poller that it belongs to.
    #[must_use]
    pub fn poller_name(&self) -> &str {
        &self.poller_name
    }

    /// The source that the checkpoint was taken from; `None` until one is bound to it.
    #[must_use]
    pub fn source(&self) -> Option<&SealedFingerprint> {
        self.source.as_ref()
    }

    /// How far the poller got; `None` at the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Who holds it, or held it last without releasing it.
    #[must_use]
    pub fn lease(&self) -> Option<&LeaseRecord> {
        self.lease.as_ref()
    }

    /// When it was deleted, if it is only a tombstone.
    #[must_use]
    pub fn deleted_at(&self) -> Option<DateTime<Utc>> {
        self.deleted_at
    }

    /// The checkpoint's position.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.checkpoint.as_ref().map(|checkpoint| &checkpoint.cursor)
    }

    pub(crate) fn bind(&mut self, source: SealedFingerprint) {
        self.source_fingerprint = Some(source.digest());
        self.source = Some(source);
    }

    pub(crate) fn unbind(&mut self) {
        self.source = None;
        self.source_fingerprint = None;
    }
}

impl fmt::Debug for StateDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateDocument")
            .field("poller_name", &self.poller_name)
            .field("revision", &self.revision)
            .field("writer", &self.writer)
            .field("fencing_token", &self.fencing_token)
            .field("position", &self.position())
            .field("lease", &self.lease)
            .field("deleted_at", &self.deleted_at)
            .finish_non_exhaustive()
    }
}

/// The last position whose batch was acknowledged.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub(crate) cursor: Position,
    pub(crate) last_successful_batch_id: Option<String>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) metadata: CheckpointMetadata,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CheckpointMetadata {
    pub(crate) row_count: u64,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl Checkpoint {
    pub(crate) fn new(cursor: Position, batch_id: Option<&str>, row_count: u64, updated_at: DateTime<Utc>) -> Self {
        let metadata = CheckpointMetadata { row_count, extra: Map::new() };
        let last_successful_batch_id = batch_id.map(str::to_owned);
        Self { cursor, last_successful_batch_id, updated_at, metadata, extra: Map::new() }
    }

    /// The position.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.cursor
    }

    /// The batch that ended there; `None` where an operator set the position.
    #[must_use]
    pub fn batch_id(&self) -> Option<&str> {
        self.last_successful_batch_id.as_deref()
    }

    /// When it was written, by its owner's clock.
    #[must_use]
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.updated_at
    }

    /// The rows of that batch.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.metadata.row_count
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("position", &self.cursor)
            .field("batch_id", &self.last_successful_batch_id)
            .field("updated_at", &self.updated_at)
            .field("row_count", &self.metadata.row_count)
            .finish_non_exhaustive()
    }
}

/// A lease, as it stands in the document.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRecord {
    pub(crate) owner_id: String,
    pub(crate) acquired_at: DateTime<Utc>,
    pub(crate) heartbeat_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl LeaseRecord {
    /// Who holds it: an id that each acquisition has for itself.
    #[must_use]
    pub fn owner_id(&self) -> &str {
        &self.owner_id
    }

    /// When it was acquired, by its owner's clock.
    #[must_use]
    pub fn acquired_at(&self) -> DateTime<Utc> {
        self.acquired_at
    }

    /// When it was last renewed, by its owner's clock.
    #[must_use]
    pub fn heartbeat_at(&self) -> DateTime<Utc> {
        self.heartbeat_at
    }

    /// When it ends unless renewed, by its owner's clock.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}

impl fmt::Debug for LeaseRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseRecord")
            .field("owner_id", &self.owner_id)
            .field("acquired_at", &self.acquired_at)
            .field("heartbeat_at", &self.heartbeat_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What is read first: a later version may have any other form.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

const MEND: &str = "move it away, and put a good copy back with `checkpoint import` or begin anew";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;

    fn orders() -> PollerName {
        PollerName::new("orders").unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    fn document() -> StateDocument {
        let mut document = StateDocument::empty(&orders(), "stream");
        document.revision = 57;
        document.writer = "nonce".into();
        document.fencing_token = 42;
        document.bind(Fingerprint::new().part("table", "orders").seal("s"));
        document.checkpoint = Some(Checkpoint::new(Position::Token("12093".into()), Some("batch"), 100, at(0)));
        document.lease = Some(LeaseRecord {
            owner_id: "owner".into(),
            acquired_at: at(0),
            heartbeat_at: at(40),
            expires_at: at(160),
            extra: Map::new(),
        });
        document
    }

    #[test]
    fn the_written_format_is_pinned() {
        let expected = concat!(
            r#"{"version":1,"stream_id":"stream","revision":57,"writer":"nonce","fencing_token":42,"#,
            r#""poller_name":"orders","source":{"salt":"s","table":"orders"},"#,
            r#""source_fingerprint":"sha256:c3a73d9235c2884a3d281d98c74bcb79fe800484c8c5506cf1bfdba99c37dc20","#,
            r#""checkpoint":{"cursor":{"kind":"token","value":"12093"},"last_successful_batch_id":"batch","#,
            r#""updated_at":"2026-01-01T00:00:00Z","metadata":{"row_count":100}},"#,
            r#""lease":{"owner_id":"owner","acquired_at":"2026-01-01T00:00:00Z","#,
            r#""heartbeat_at":"2026-01-01T00:00:40Z","expires_at":"2026-01-01T00:02:40Z"}}"#
        );
        let written = String::from_utf8(document().to_json()).unwrap();
        assert_eq!(written, expected);
        assert_eq!(StateDocument::of(&orders(), expected.as_bytes()).unwrap(), document());
    }

    #[test]
    fn an_empty_document_says_so_with_nulls() {
        let text = String::from_utf8(StateDocument::empty(&orders(), "s").to_json()).unwrap();
        assert!(text.ends_with(r#""source":null,"source_fingerprint":null,"checkpoint":null,"lease":null}"#), "{text}");
    }

    #[test]
    fn unknown_fields_survive_a_rewrite() {
        let mut json: Value = serde_json::from_slice(&document().to_json()).unwrap();
        json["later"] = "kept".into();
        json["checkpoint"]["later"] = 1.into();
        json["checkpoint"]["metadata"]["later"] = true.into();
        json["lease"]["later"] = Value::Null;
        let read = StateDocument::from_json(&serde_json::to_vec(&json).unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&read.to_json()).unwrap(), json);
    }

    #[test]
    fn garbage_and_later_versions_are_refused_without_quoting_them() {
        let whole = document().to_json();
        let torn = &whole[..whole.len() / 2];
        let cases: [(&[u8], &str); 8] = [
            (b"", "not whole JSON"),
            (torn, "not whole JSON"),
            (b"secret", "not whole JSON"),
            (b"[]", "not a state document"),
            (br#"{"version":"secret"}"#, "not a state document"),
            (br#"{"version":1,"revision":"secret"}"#, "not a state document"),
            (br#"{"version":0}"#, "version 0"),
            (br#"{"version":2,"all":"secret"}"#, "upgrade"),
        ];
        for (bytes, expected) in cases {
            let error = StateDocument::of(&orders(), bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptState);
            assert!(error.message().contains(expected), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_document_of_another_poller_is_refused() {
        let error = StateDocument::of(&PollerName::new("Orders").unwrap(), &document().to_json()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptState);
        assert!(error.message().contains("checkpoint clone"), "{error}");
    }

    #[test]
    fn debug_shows_no_value() {
        let mut document = document();
        document.checkpoint.as_mut().unwrap().cursor = Position::Token("secret".into());
        document.extra.insert("later".into(), "secret".into());
        assert!(!format!("{document:?}").contains("secret"));
    }
}
