//! Opening SQLite databases, and never making one by mistake.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::classify;
use crate::error::{Error, ErrorKind};
use crate::url::ConnectionUrl;

/// What the options of a URL say.
struct Settings {
    mode: Mode,
    immutable: bool,
    busy_timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    ReadOnly,
    ReadWrite,
    Create,
    Memory,
}

pub(super) async fn connect(url: &ConnectionUrl) -> Result<SqlitePool, Error> {
    if url.scheme() != "sqlite" {
        let sentence = format!(
            "`{}:` is no URL of SQLite; it takes `sqlite://path/to/file.db` or `sqlite::memory:`",
            url.scheme()
        );
        return Err(Error::new(ErrorKind::Configuration, sentence));
    }
    let settings = settings(url)?;
    let path = url.path()?;
    let in_memory = settings.mode == Mode::Memory || path == ":memory:";
    if !in_memory {
        check_file(Path::new(&*path), settings.mode)?;
    }
    let pool = if in_memory { memory(&settings).await } else { file(Path::new(&*path), &settings).await };
    let pool = pool.map_err(|error| opening(classify(error), url))?;
    // SQLite opens lazily: only a read tells whether the file is a database.
    match sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&pool).await {
        Ok(_) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(opening(classify(error), url))
        }
    }
}

/// Names the URL in an error of opening.
fn opening(error: Error, url: &ConnectionUrl) -> Error {
    let (kind, status) = (error.kind(), error.retry_status());
    Error::new(kind, format!("{url}: {}", error.message())).with_retry_status(status).with_source(error)
}

fn settings(url: &ConnectionUrl) -> Result<Settings, Error> {
    let mut settings = Settings { mode: Mode::ReadWrite, immutable: false, busy_timeout: Duration::from_secs(5) };
    for (name, value) in url.options() {
        let wrong = |expected: &str| {
            Error::new(ErrorKind::Configuration, format!("the URL's option `{name}` is not {expected}"))
        };
        match name {
            "mode" => settings.mode = mode(value).ok_or_else(|| wrong("`ro`, `rw`, `rwc` or `memory`"))?,
            "immutable" => settings.immutable = value.parse().map_err(|_| wrong("`true` or `false`"))?,
            "busy_timeout" => {
                // SQLite counts in 32 bits, and the driver panics beyond.
                let milliseconds = value.parse::<i32>().ok().and_then(|number| u64::try_from(number).ok());
                let expected = "a number of milliseconds up to 2147483647";
                settings.busy_timeout = Duration::from_millis(milliseconds.ok_or_else(|| wrong(expected))?);
            }
            _ => {
                let sentence = format!(
                    "the URL's option `{name}` is unknown; SQLite takes `mode`, `immutable` and `busy_timeout`"
                );
                return Err(Error::new(ErrorKind::Configuration, sentence));
            }
        }
    }
    Ok(settings)
}

fn mode(text: &str) -> Option<Mode> {
    Some(match text {
        "ro" => Mode::ReadOnly,
        "rw" => Mode::ReadWrite,
        "rwc" => Mode::Create,
        "memory" => Mode::Memory,
        _ => return None,
    })
}

fn check_file(path: &Path, mode: Mode) -> Result<(), Error> {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "the URL names no file, as in `sqlite://shop.db`"));
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let sentence = format!("`{shown}` is a folder; the URL has to name the database file in it");
            Err(Error::new(ErrorKind::Connection, sentence))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && mode == Mode::Create => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let sentence = format!(
                "there is no file `{shown}`, and reading makes none; mend the path, or create it with `?mode=rwc`"
            );
            Err(Error::new(ErrorKind::NotFound, sentence))
        }
        Err(error) => Err(Error::new(ErrorKind::Connection, format!("`{shown}` can't be opened")).with_source(error)),
    }
}

async fn file(path: &Path, settings: &Settings) -> sqlx::Result<SqlitePool> {
    // SQLite would take such a name for a URI, and open another file.
    let path =
        if path.as_os_str().as_encoded_bytes().starts_with(b"file:") { &Path::new(".").join(path) } else { path };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(settings.mode == Mode::ReadOnly)
        .create_if_missing(settings.mode == Mode::Create)
        .immutable(settings.immutable)
        .busy_timeout(settings.busy_timeout);
    // A file needs no ping before each use.
    SqlitePoolOptions::new().test_before_acquire(false).connect_with(options).await
}

/// One connection, for as long as the pool lives: with its last connection the database is gone.
async fn memory(settings: &Settings) -> sqlx::Result<SqlitePool> {
    let options = "sqlite::memory:".parse::<SqliteConnectOptions>()?.busy_timeout(settings.busy_timeout);
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

/// The file, by its one absolute path; a database in memory is like any other in memory.
pub(super) fn identity(file: &Path) -> String {
    let text = file.to_string_lossy();
    if text == ":memory:" || text.is_empty() || text.starts_with("file:sqlx-in-memory") {
        return "memory".to_owned();
    }
    let absolute = file.canonicalize().or_else(|_| std::path::absolute(file)).unwrap_or_else(|_| PathBuf::from(file));
    absolute.to_string_lossy().into_owned()
}
