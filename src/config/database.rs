//! A database of whichever kind its URL names.

use std::fmt;

use crate::config::source::SourceSpec;
#[cfg(feature = "sqlite")]
use crate::db::{Database, Sqlite};
use crate::error::{Error, ErrorKind};
use crate::source::BoxSource;
use crate::url::ConnectionUrl;

/// A database whose kind is known at run time only, by the scheme of its URL.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use highwater::{AnyDatabase, ErrorKind};
///
/// let db = AnyDatabase::connect("sqlite::memory:").await?;
/// assert!(matches!(db, AnyDatabase::Sqlite(_)));
///
/// let error = AnyDatabase::connect("oracle://me@host/shop").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// # Ok::<(), highwater::Error>(()) }).unwrap();
/// ```
#[non_exhaustive]
#[derive(Clone)]
pub enum AnyDatabase {
    /// `sqlite:` URLs.
    #[cfg(feature = "sqlite")]
    Sqlite(Database<Sqlite>),
}

impl AnyDatabase {
    /// Opens the database that a URL names; in it, `%NAME%` stands for an environment variable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where this build has no backend for the scheme, else as
    /// [`Database::connect`](crate::Database::connect).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when the future is dropped.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let parsed = ConnectionUrl::parse(url).map_err(|error| error.during("connect"))?;
        match parsed.scheme() {
            #[cfg(feature = "sqlite")]
            "sqlite" => Box::pin(Database::connect(url)).await.map(Self::Sqlite),
            other => Err(unsupported(other)),
        }
    }

    /// The source that a specification describes, in this database.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] where the specification contradicts itself or lacks something, with what to
    /// mend. Whether table and columns exist is seen when the source is validated.
    pub fn source(&self, spec: SourceSpec) -> Result<BoxSource, Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(db) => spec.build(db),
            #[cfg(not(feature = "sqlite"))]
            _ => {
                drop(spec);
                Err(unsupported("any"))
            }
        }
    }

    /// Closes the database, and with it every clone and every source of it; statements that run are waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it closes none the less; it is only not waited for.
    pub async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(db) => db.close().await,
            #[cfg(not(feature = "sqlite"))]
            _ => {}
        }
    }
}

fn unsupported(scheme: &str) -> Error {
    let message = format!(
        "this build can't read `{scheme}:` databases, only {BUILT}; any other is read through one's own `Source`, the \
         trait that `Poller::builder(..).source(..)` takes"
    );
    Error::new(ErrorKind::Unsupported, message).during("connect")
}

const BUILT: &str = if cfg!(feature = "sqlite") { "`sqlite:` ones, as in `sqlite://shop.db`" } else { "none at all" };

/// The kind alone.
impl fmt::Debug for AnyDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(db) => f.debug_tuple("AnyDatabase").field(db).finish(),
            #[cfg(not(feature = "sqlite"))]
            _ => f.write_str("AnyDatabase"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn schemes_without_a_backend_are_refused_by_name_and_without_their_password() {
        for scheme in ["postgres", "mysql", "oracle", "http"] {
            let error = AnyDatabase::connect(&format!("{scheme}://me:secret@host/shop")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(scheme) && error.message().contains("`Source`"), "{error}");
            assert!(!format!("{error:?}").contains("secret"));
        }
        let error = AnyDatabase::connect("shop.db").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}
