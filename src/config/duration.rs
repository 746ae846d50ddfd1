//! Durations as people write them: `500ms`, `2s`, `5m`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use crate::error::{Error, ErrorKind};

/// The units, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a duration: a whole number and a unit, `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// use highwater::config::parse_duration;
/// use std::time::Duration;
///
/// assert_eq!(parse_duration("500ms")?, Duration::from_millis(500));
/// assert_eq!(parse_duration("5m")?, Duration::from_secs(300));
/// assert!(parse_duration("5").is_err());
/// # Ok::<(), highwater::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Configuration`] where the text is none.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let millis = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| {
        let message = "a duration is a whole number and its unit, like `500ms`, `2s`, `5m`, `1h` or `1d`";
        Error::new(ErrorKind::Configuration, message)
    })
}

/// Writes a duration as [`parse_duration`] reads it, in the longest unit that fits; parts of a millisecond are cut.
///
/// ```
/// use highwater::config::format_duration;
/// use std::time::Duration;
///
/// assert_eq!(format_duration(Duration::from_secs(120)), "2m");
/// assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
/// ```
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fits = |factor: u64| millis >= u128::from(factor) && millis.is_multiple_of(u128::from(factor));
    let (unit, factor) = UNITS.into_iter().find(|(_, factor)| fits(*factor)).unwrap_or(("ms", 1));
    format!("{}{unit}", millis / u128::from(factor))
}

#[expect(clippy::ref_option, reason = "the form that serde calls")]
pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_str(&format_duration(*duration)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_duration(&text).map_err(|error| D::Error::custom(error.message()))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for millis in [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000, 90_000_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "5S", "5w", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text).unwrap_err().kind(), ErrorKind::Configuration, "{text:?}");
        }
    }
}
