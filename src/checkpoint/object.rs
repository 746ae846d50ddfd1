//! [`ObjectCheckpoints`]: documents in memory, in local files, or in any object store.

use std::fmt;
use std::path::Path as FsPath;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use percent_encoding::percent_decode_str;

use super::local::LocalFiles;
use super::{CheckpointStore, Page, PageToken, PollerName, Stored, Version, WriteCondition, WriteOutcome};
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::url::expand_environment;

/// A checkpoint store on objects: one `{poller}.json` a poller, replaced on condition.
///
/// ```
/// use highwater::checkpoint::ObjectCheckpoints;
/// use std::sync::Arc;
///
/// let shared = ObjectCheckpoints::new(Arc::new(object_store::memory::InMemory::new()), "shop/state");
/// let folder = tempfile::tempdir().unwrap();
/// let files = ObjectCheckpoints::local(folder.path())?;
/// let same = ObjectCheckpoints::from_url(&format!("file://{}", folder.path().display()))?;
/// # Ok::<(), highwater::Error>(())
/// ```
#[derive(Clone)]
pub struct ObjectCheckpoints(Backing);

#[derive(Clone)]
enum Backing {
    Objects { store: Arc<dyn ObjectStore>, prefix: Path },
    Files(LocalFiles),
}

impl ObjectCheckpoints {
    /// Documents under a prefix of an object store of one's own. The store must enforce `PutMode::Create` and
    /// `PutMode::Update`: one that ignores them lets two owners commit. Its own retries should end well within
    /// [`LeaseSettings::call_timeout`](super::LeaseSettings::call_timeout); beyond, its answer is not waited for.
    ///
    /// `LocalFileSystem` can't update on condition; for local files use [`local`](Self::local).
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Self {
        Self(Backing::Objects { store, prefix: Path::from(prefix.as_ref()) })
    }

    /// Documents in the memory of this process; clones share them.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Arc::new(InMemory::new()), "")
    }

    /// Documents in a folder, which is created with its parents where it is missing.
    ///
    /// Beside each document stands a lock file, which stays for good: processes of this machine exclude each other
    /// by it. On network file systems this holds only as far as their locks and renames do.
    ///
    /// # Errors
    ///
    /// `Configuration` where the path is no folder and can't become one.
    pub fn local(folder: impl AsRef<FsPath>) -> Result<Self, Error> {
        LocalFiles::open(folder.as_ref()).map(|files| Self(Backing::Files(files)))
    }

    /// Documents where a URL says: `file:///folder` as [`local`](Self::local), `memory://` as
    /// [`memory`](Self::memory), a store of its own each time. Percent-encoded bytes of a path are decoded; `%NAME%`
    /// stands for the environment variable `NAME`, and `%%` for a percent sign.
    ///
    /// # Errors
    ///
    /// `Configuration` for any other scheme, for a relative path, for options, which neither of the two has, and for
    /// a variable that isn't set.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        Self::at(url, |folder| Self::local(folder))
    }

    /// As [`from_url`](Self::from_url), for those who only look: a folder that is missing is not created.
    ///
    /// # Errors
    ///
    /// As [`from_url`](Self::from_url), and `NotFound` where the folder is missing.
    pub fn from_existing_url(url: &str) -> Result<Self, Error> {
        Self::at(url, |folder| {
            if folder.exists() {
                return Self::local(folder);
            }
            let message = format!("there is no checkpoint folder {}; look for a slip in its path", folder.display());
            Err(Error::new(ErrorKind::NotFound, message))
        })
    }

    fn at(url: &str, local: impl FnOnce(&FsPath) -> Result<Self, Error>) -> Result<Self, Error> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Configuration, message));
        let url = expand_environment(url)?;
        let Some((scheme, rest)) = url.split_once(':') else {
            return wrong(format!("a checkpoint store is given as a URL, {FORMS}"));
        };
        if rest.contains(['?', '#']) {
            return wrong(format!(
                "a {} URL takes no options and no fragment; write `?` and `#` in a path as %3F and %23",
                scheme.to_ascii_lowercase()
            ));
        }
        match scheme.to_ascii_lowercase().as_str() {
            "memory" if matches!(rest, "" | "//" | "///") => Ok(Self::memory()),
            "memory" => wrong("a memory store has no path; write `memory://`".to_owned()),
            "file" => local(&file_path(rest)?),
            other => wrong(format!("no checkpoint store has the scheme {other:?}; {FORMS}")),
        }
    }
}

const FORMS: &str = "like `file:///var/lib/shop/state` or `memory://`";

/// The path of a `file:` URL, from what follows the scheme.
fn file_path(rest: &str) -> Result<std::path::PathBuf, Error> {
    let relative = "a file URL needs an absolute path and no host, like `file:///var/lib/shop/state`";
    let wrong = |message| Error::new(ErrorKind::Configuration, message);
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(path);
    // Decoded before it is judged: a variable's slashes are encoded.
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| wrong("the path of a file URL is not UTF-8 once its percent signs are decoded"))?;
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(wrong(relative));
    }
    if path.contains('\0') {
        return Err(wrong("the path of a file URL has a NUL byte"));
    }
    // `/C:/state` is the form in which a URL holds a Windows path.
    let path = if cfg!(windows) { path.trim_start_matches('/') } else { &path };
    Ok(path.into())
}

impl fmt::Debug for ObjectCheckpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Backing::Objects { prefix, .. } => f.debug_struct("ObjectCheckpoints").field("prefix", prefix).finish(),
            Backing::Files(files) => f.debug_tuple("ObjectCheckpoints").field(&files.folder()).finish(),
        }
    }
}

impl CheckpointStore for ObjectCheckpoints {
    async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        match &self.0 {
            Backing::Objects { store, prefix } => load(&**store, &location(prefix, poller)).await,
            Backing::Files(files) => files.load(poller).await,
        }
    }

    async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        match &self.0 {
            Backing::Objects { store, prefix } => {
                write_if(&**store, &location(prefix, poller), document, condition).await
            }
            Backing::Files(files) => files.write_if(poller, document, condition).await,
        }
    }

    async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        match &self.0 {
            Backing::Objects { store, prefix } => list(&**store, prefix, page).await,
            Backing::Files(files) => files.list(page).await,
        }
    }

    async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        match &self.0 {
            Backing::Objects { store, prefix } => match store.delete(&location(prefix, poller)).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(failure(error, "purge", RetryStatus::Unknown)),
            },
            Backing::Files(files) => files.purge(poller).await,
        }
    }
}

fn location(prefix: &Path, poller: &PollerName) -> Path {
    prefix.clone().join(format!("{poller}.json").as_str())
}

async fn load(store: &dyn ObjectStore, location: &Path) -> Result<Option<Stored>, Error> {
    let found = match store.get(location).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failure(error, "load", RetryStatus::Transient)),
    };
    let version = encode(found.meta.e_tag.as_deref(), found.meta.version.as_deref())?;
    let bytes = found.bytes().await.map_err(|error| failure(error, "load", RetryStatus::Transient))?;
    Ok(Some(Stored { bytes: bytes.into(), version }))
}

async fn write_if(
    store: &dyn ObjectStore,
    location: &Path,
    document: &[u8],
    condition: &WriteCondition,
) -> Result<WriteOutcome, Error> {
    let mode = match condition {
        WriteCondition::Absent => PutMode::Create,
        WriteCondition::Unchanged(version) => PutMode::Update(decode(version)),
    };
    match store.put_opts(location, document.to_vec().into(), PutOptions::from(mode)).await {
        Ok(put) => Ok(WriteOutcome::Written(encode(put.e_tag.as_deref(), put.version.as_deref())?)),
        Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } | StoreError::NotFound { .. }) => {
            Ok(WriteOutcome::Refused)
        }
        Err(error) => Err(failure(error, "write", RetryStatus::Unknown)),
    }
}

/// Stores may list in any order, so that all names are read and one page of them kept.
async fn list(store: &dyn ObjectStore, prefix: &Path, page: Option<&PageToken>) -> Result<Page, Error> {
    let objects: Vec<_> =
        store.list(Some(prefix)).try_collect().await.map_err(|error| failure(error, "list", RetryStatus::Transient))?;
    let names = objects.iter().filter_map(|object| {
        let mut parts = object.location.prefix_match(prefix)?;
        let (name, deeper) = (parts.next()?, parts.next());
        PollerName::new(name.as_ref().strip_suffix(".json")?).ok().filter(|_| deeper.is_none())
    });
    Ok(Page::cut(names, page))
}

/// Both are kept: some stores update on the one, some on the other.
fn encode(e_tag: Option<&str>, version: Option<&str>) -> Result<Version, Error> {
    if e_tag.is_none() && version.is_none() {
        let message = "the object store gives no ETag, without which nothing can be written on condition";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(Version::new(format!("{}\n{}", e_tag.unwrap_or_default(), version.unwrap_or_default())))
}

fn decode(version: &Version) -> UpdateVersion {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (e_tag, version) = version.as_str().split_once('\n').unwrap_or((version.as_str(), ""));
    UpdateVersion { e_tag: text(e_tag), version: text(version) }
}

fn failure(error: StoreError, operation: &'static str, otherwise: RetryStatus) -> Error {
    let (kind, message, status) = match &error {
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => (
            ErrorKind::Unsupported,
            "the object store can't do this on condition; for local files use `ObjectCheckpoints::local`",
            RetryStatus::Permanent,
        ),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => (
            ErrorKind::Checkpoint,
            "the object store refused the credentials; they need to read, write and list there",
            RetryStatus::Permanent,
        ),
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::Configuration, "the object store refused its configuration", RetryStatus::Permanent)
        }
        _ => (ErrorKind::Checkpoint, "the object store failed", otherwise),
    };
    Error::new(kind, message).during(operation).with_retry_status(status).with_source(error)
}
