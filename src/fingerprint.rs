//! Fingerprints: is this the source that the checkpoint was taken from, and if not, what changed?

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The canonical parts of a source: everything that decides which rows come, in what order.
///
/// Parts are texts of this crate's making, never SQL as a library renders it, so that an upgrade changes
/// no fingerprint. Parameters stay out of the document: it keeps their keyed hashes.
///
/// ```
/// use highwater::Fingerprint;
///
/// let before = Fingerprint::new().part("table", "orders").parameter("region", b"eu").seal("salt");
/// let after = Fingerprint::new().part("table", "orders").parameter("region", b"us").seal("salt");
/// assert_eq!(before.differences(&after), ["parameter `region` has another value"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fingerprint {
    parts: BTreeMap<String, String>,
    parameters: BTreeMap<String, Vec<u8>>,
}

impl Fingerprint {
    /// A fingerprint without parts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, such as `table` or `cursor`, in canonical text.
    #[must_use]
    pub fn part(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.parts.insert(name.into(), text.into());
        self
    }

    /// Adds a parameter by its exact bytes.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: &[u8]) -> Self {
        self.parameters.insert(name.into(), value.to_vec());
        self
    }

    /// The form that the state document keeps: parameters hashed under the document's salt.
    #[must_use]
    pub fn seal(&self, salt: &str) -> SealedFingerprint {
        let mut parts = self.parts.clone();
        for (name, value) in &self.parameters {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(salt.as_bytes()) else {
                unreachable!("HMAC takes a key of any length")
            };
            mac.update(name.as_bytes());
            mac.update(&[0]);
            mac.update(value);
            parts.insert(format!("{PARAMETER}{name}"), hex(&mac.finalize().into_bytes()));
        }
        parts.insert(SALT.to_owned(), salt.to_owned());
        SealedFingerprint { parts }
    }
}

/// Names, no values: texts of queries may hold literals.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.parts.keys()).entries(self.parameters.keys()).finish()
    }
}

const PARAMETER: &str = "parameter.";
const SALT: &str = "salt";

/// A fingerprint as the state document keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedFingerprint {
    parts: BTreeMap<String, String>,
}

impl SealedFingerprint {
    /// The salt under which the parameters were hashed.
    #[must_use]
    pub fn salt(&self) -> &str {
        self.parts.get(SALT).map_or("", String::as_str)
    }

    /// The canonical parts, by name.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// `sha256:` and the digest of all parts.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, text) in &self.parts {
            for part in [name, text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }

    /// What differs, one phrase a part; empty when both describe the same source.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.parts.keys().chain(now.parts.keys()).collect();
        names
            .into_iter()
            .filter(|name| name.as_str() != SALT)
            .filter_map(|name| difference(name, self.parts.get(name), now.parts.get(name)))
            .collect()
    }
}

impl fmt::Debug for SealedFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest())
    }
}

fn difference(name: &str, before: Option<&String>, now: Option<&String>) -> Option<String> {
    if before == now {
        return None;
    }
    let parameter = name.strip_prefix(PARAMETER);
    Some(match (parameter, before, now) {
        (Some(parameter), Some(_), Some(_)) => format!("parameter `{parameter}` has another value"),
        (Some(parameter), None, _) => format!("parameter `{parameter}` is new"),
        (Some(parameter), _, None) => format!("parameter `{parameter}` is gone"),
        (None, before, now) => {
            let show = |text: Option<&String>| text.map_or("nothing".to_owned(), |text| format!("`{text}`"));
            format!("{name} was {}, is {}", show(before), show(now))
        }
    })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_say_what_changed() {
        let before = Fingerprint::new().part("table", "orders").part("cursor", "updated_at").seal("s");
        let after = Fingerprint::new().part("table", "orders").part("cursor", "version").parameter("p", b"1").seal("s");
        assert_eq!(before.differences(&after), ["cursor was `updated_at`, is `version`", "parameter `p` is new"]);
        assert_ne!(before.digest(), after.digest());
        assert!(before.differences(&before).is_empty());
    }

    #[test]
    fn parameters_are_hashed_under_the_salt() {
        let fingerprint = Fingerprint::new().parameter("p", b"secret");
        let (one, two) = (fingerprint.seal("one"), fingerprint.seal("two"));
        assert!(!serde_json::to_string(&one).unwrap().contains("secret"));
        assert_ne!(one.digest(), two.digest());
    }
}
