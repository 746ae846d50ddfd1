//! Documents in local files, replaced under a lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore as _, PutMode, PutOptions};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::{Page, PageToken, PollerName, Stored, Version, WriteCondition, WriteOutcome};
use crate::error::{Error, ErrorKind, RetryStatus};
use crate::fingerprint::hex;

/// How long a write waits for another's lock: a hundred times what a write takes on a slow disk, and within the
/// time that a lease of the default length gives to a call of its store.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The longest pause between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A folder of documents.
#[derive(Clone, Debug)]
pub(crate) struct LocalFiles {
    folder: Arc<Path>,
    files: LocalFileSystem,
    lock_wait: Duration,
}

impl LocalFiles {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let unusable = |error: io::Error| {
            let message = match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "is a file, or lies below one",
                _ => "can't be opened or created",
            };
            let folder = folder.display();
            let message = format!("the checkpoint folder {folder} {message}; give a folder that this user may write");
            Error::new(ErrorKind::Configuration, message).with_source(error)
        };
        fs::create_dir_all(folder).map_err(unusable)?;
        let folder: Arc<Path> = fs::canonicalize(folder).map_err(unusable)?.into();
        let files = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| unusable(io::Error::other(error)))?
            .with_fsync(true);
        Ok(Self { folder, files, lock_wait: LOCK_WAIT })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    #[cfg(test)]
    pub(crate) fn set_lock_wait(&mut self, lock_wait: Duration) {
        self.lock_wait = lock_wait;
    }

    pub(crate) async fn load(&self, poller: &PollerName) -> Result<Option<Stored>, Error> {
        let (folder, path) = (Arc::clone(&self.folder), self.document(poller));
        off_thread(move |_| match read(&path)? {
            Some(bytes) => Ok(Some(Stored { version: version_of(&bytes), bytes })),
            None if folder.is_dir() => Ok(None),
            None => Err(failure("read", &path, io::ErrorKind::NotFound.into(), RetryStatus::Permanent)),
        })
        .await
    }

    pub(crate) async fn write_if(
        &self,
        poller: &PollerName,
        document: &[u8],
        condition: &WriteCondition,
    ) -> Result<WriteOutcome, Error> {
        let (this, poller, document, condition) = (self.clone(), poller.clone(), document.to_vec(), condition.clone());
        off_thread(move |caller| {
            let _lock = this.lock(&poller, caller)?;
            let present = read(&this.document(&poller))?;
            if !condition.holds(present.as_deref().map(version_of).as_ref()) {
                return Ok(WriteOutcome::Refused);
            }
            this.sweep(&poller)?;
            this.replace(&poller, document)
        })
        .await
    }

    pub(crate) async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        let (folder, page) = (Arc::clone(&self.folder), page.cloned());
        off_thread(move |_| {
            let unreadable = |error| failure("list", &folder, error, RetryStatus::Transient);
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
                names.extend(name.and_then(|name| PollerName::new(name).ok()));
            }
            Ok(Page::cut(names, page.as_ref()))
        })
        .await
    }

    /// Removes the document, and leaves the lock: whoever waits for it must exclude whoever comes later.
    pub(crate) async fn purge(&self, poller: &PollerName) -> Result<(), Error> {
        let (this, poller) = (self.clone(), poller.clone());
        off_thread(move |caller| {
            let _lock = this.lock(&poller, caller)?;
            this.sweep(&poller)?;
            remove(&this.document(&poller)).map(drop)
        })
        .await
    }

    fn document(&self, poller: &PollerName) -> PathBuf {
        self.folder.join(format!("{poller}.json"))
    }

    /// Replaces the document, in place and synced when this returns. Under the lock, on a thread of its own.
    fn replace(&self, poller: &PollerName, document: Vec<u8>) -> Result<WriteOutcome, Error> {
        let (path, version) = (self.document(poller), version_of(&document));
        let location = ObjectPath::from(format!("{poller}.json"));
        let put = self.files.put_opts(&location, document.into(), PutOptions::from(PutMode::Overwrite));
        // Outside of a runtime the file system's futures work in place and are done when first polled.
        match put.now_or_never() {
            Some(Ok(_)) => Ok(WriteOutcome::Written(version)),
            Some(Err(error)) => {
                let error = failure("write", &path, io::Error::from(error), RetryStatus::Unknown);
                // We still hold the lock, so what is there now stays: unless it is ours, nothing was written.
                let landed = read(&path)?.is_some_and(|bytes| version_of(&bytes) == version);
                Err(if landed { error } else { error.with_retry_status(RetryStatus::Transient) })
            }
            None => Err(Error::new(ErrorKind::Unsupported, "local files can't be written from within a runtime")),
        }
    }

    /// Removes what writers that were killed left behind: `orders.json#1` and on.
    fn sweep(&self, poller: &PollerName) -> Result<(), Error> {
        for number in 1_u32.. {
            if !remove(&self.folder.join(format!("{poller}.json#{number}")))? {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the poller's lock, while somebody waits for us.
    fn lock(&self, poller: &PollerName, caller: &Caller) -> Result<File, Error> {
        let path = self.folder.join(format!("{poller}.json.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failure("lock", &path, error, RetryStatus::Transient))?;
        let (begun, mut pause) = (Instant::now(), Duration::from_micros(200));
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if !caller.waits() || begun.elapsed() >= self.lock_wait => {
                    return Err(self.locked(&path, &mut file));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(pause),
                Err(TryLockError::Error(error)) => return Err(unlockable(&path, error)),
            }
            pause = (pause * 2).min(LOCK_PAUSE);
        }
        // Who holds it, for those who wait in vain; nothing depends on it.
        let _ = file.rewind().and_then(|()| writeln!(file, "{:<10}", std::process::id()));
        Ok(file)
    }

    fn locked(&self, path: &Path, file: &mut File) -> Error {
        let mut text = String::new();
        let holder = file.rewind().and_then(|()| file.read_to_string(&mut text)).ok();
        let holder = holder.and_then(|_| text.trim().parse::<u32>().ok());
        let holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"));
        let message = format!(
            "the lock {} was held by {holder} for {:?}; if that process is stopped, continue or end it",
            path.display(),
            self.lock_wait
        );
        Error::new(ErrorKind::Checkpoint, message).during("lock").with_retry_status(RetryStatus::Transient)
    }
}

/// Who waits for a file operation: gone when its future was dropped.
struct Caller(Weak<()>);

impl Caller {
    fn waits(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Runs blocking file work on a thread of its own, which goes on to its end, lock and all, when the caller is
/// dropped or the runtime shuts down. In a runtime's own pool the two halves of a write could be torn apart.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce(&Caller) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let waiting = Arc::new(());
    let caller = Caller(Arc::downgrade(&waiting));
    let (reply, answer) = oneshot::channel();
    let run = move || {
        // An answer that nobody waits for is found out by reading, in the protocol above.
        let _ = reply.send(work(&caller));
    };
    thread::Builder::new().name("highwater-files".to_owned()).spawn(run).map_err(|error| {
        Error::new(ErrorKind::Checkpoint, "no thread for file work")
            .with_retry_status(RetryStatus::Transient)
            .with_source(error)
    })?;
    let answered = answer.await;
    drop(waiting);
    answered.unwrap_or_else(|_| {
        let message = "the file work ended without an answer";
        Err(Error::new(ErrorKind::Checkpoint, message).with_retry_status(RetryStatus::Unknown))
    })
}

/// Told from the content, in which each write has its own nonce: inode, time and size can repeat.
fn version_of(bytes: &[u8]) -> Version {
    Version::new(format!("sha256:{}", hex(&Sha256::digest(bytes))))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("read", path, error, RetryStatus::Transient)),
    }
}

/// Whether there was a file to remove.
fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failure("remove", path, error, RetryStatus::Transient)),
    }
}

fn failure(operation: &'static str, path: &Path, error: io::Error, otherwise: RetryStatus) -> Error {
    use io::ErrorKind as Io;
    let path = path.display();
    let (kind, message, status) = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            let message = format!("no permission to {operation} {path}; let this user read and write the folder");
            (ErrorKind::Configuration, message, RetryStatus::Permanent)
        }
        Io::NotFound | Io::NotADirectory => {
            let message = format!("the folder of {path} is gone; put it back");
            (ErrorKind::Configuration, message, RetryStatus::Permanent)
        }
        Io::IsADirectory => {
            let message = format!("{path} is a folder where a document should be; move it away");
            (ErrorKind::Configuration, message, RetryStatus::Permanent)
        }
        _ => (ErrorKind::Checkpoint, format!("could not {operation} {path}"), otherwise),
    };
    Error::new(kind, message).during(operation).with_retry_status(status).with_source(error)
}

fn unlockable(path: &Path, error: io::Error) -> Error {
    let message = format!("the file system can't lock {}; keep checkpoints on one that can", path.display());
    let kind = if error.kind() == io::ErrorKind::Unsupported { ErrorKind::Unsupported } else { ErrorKind::Checkpoint };
    Error::new(kind, message).during("lock").with_source(error)
}
