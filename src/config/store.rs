//! Where checkpoints are kept, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{BoxCheckpoints, ObjectCheckpoints};
use crate::error::Error;

/// Where checkpoints are kept: `file:///var/lib/shop/state`, `memory://`.
///
/// In the URL `%NAME%` stands for the environment variable `NAME`, percent-encoded, and `%%` for a percent sign; it
/// is read when the store is opened. `Debug` shows the scheme alone.
///
/// ```
/// use highwater::StoreSpec;
///
/// let store: StoreSpec = serde_json::from_str(r#"{ "url": "memory://" }"#).unwrap();
/// store.open()?;
/// assert!(StoreSpec::new("file://%NOT_SET%/state").open().is_err());
/// # Ok::<(), highwater::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// The URL.
    pub url: String,
}

impl StoreSpec {
    /// A store at a URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }

    /// Opens the store; a folder that is missing is created with its parents.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ErrorKind::Configuration) where the URL names no store that this library has, where
    /// its folder can't be used, and where an environment variable isn't set.
    pub fn open(&self) -> Result<BoxCheckpoints, Error> {
        ObjectCheckpoints::from_url(&self.url).map(BoxCheckpoints::new).map_err(|error| error.during("open"))
    }

    /// Opens the store for those who only look: nothing is created.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`NotFound`](crate::ErrorKind::NotFound) where the folder is missing.
    pub fn open_existing(&self) -> Result<BoxCheckpoints, Error> {
        ObjectCheckpoints::from_existing_url(&self.url).map(BoxCheckpoints::new).map_err(|error| error.during("open"))
    }
}

impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.split_once(':').map_or("", |(scheme, _)| scheme);
        f.debug_tuple("StoreSpec").field(&scheme).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn looking_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let spec = StoreSpec::new(format!("file://{}", state.display()));
        assert_eq!(spec.open_existing().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!state.exists());
        spec.open().unwrap();
        spec.open_existing().unwrap();
    }

    #[test]
    fn debug_shows_no_password() {
        let spec = StoreSpec::new("s3://key:secret@bucket/state?token=secret");
        assert_eq!(format!("{spec:?}"), r#"StoreSpec("s3")"#);
        assert!(!spec.open().unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<StoreSpec>(r#"{"url":"memory://","prefix":"x"}"#).is_err());
    }
}
