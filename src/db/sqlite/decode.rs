//! SQLite's values: each says itself of which class it is; the column's declared type only adds meaning.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Decode, Row as _, TypeInfo as _, ValueRef as _};

use crate::db::driver::{Fetched, Layout};
use crate::error::{Error, ErrorKind};
use crate::position::Exact;
use crate::value::Value;

/// What a declared type adds to the classes of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Stored,
    /// 0 and 1 are truth values.
    Bool,
    /// Text in one of SQLite's forms is a point in time.
    Timestamp,
}

impl Form {
    pub(super) fn of(type_name: &str) -> Self {
        let type_name = type_name.trim().to_ascii_uppercase();
        match type_name.as_str() {
            "BOOLEAN" | "BOOL" => Self::Bool,
            _ if type_name.starts_with("DATETIME") || type_name.starts_with("TIMESTAMP") => Self::Timestamp,
            _ => Self::Stored,
        }
    }
}

/// Decodes a row by its layout.
pub(super) fn row(row: &SqliteRow, layout: &Layout<Form>) -> Result<Fetched, Error> {
    let mut values = Vec::with_capacity(layout.forms.len());
    for (index, form) in layout.forms.iter().enumerate() {
        values.push(value(row, index, *form).map_err(|error| error.with_column(&layout.names[index]))?);
    }
    let flag = |index: Option<usize>| index.map_or(Ok(None), |index| integer(row, index));
    Ok(Fetched {
        position: position(row, &values, layout)?,
        values,
        deleted: layout.deleted.map_or(Ok(false), |index| is_set(row, index))?,
        ripe: if layout.ripe.is_some() { flag(layout.ripe)?.map(|ripe| ripe != 0) } else { Some(true) },
        step: flag(layout.step)?.unwrap_or_default(),
        repeated: flag(layout.above)? == Some(0),
    })
}

/// The class in which a value is stored, and the value.
enum Stored {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

fn stored(row: &SqliteRow, index: usize) -> Result<Stored, Error> {
    let raw = row.try_get_raw(index).map_err(super::classify)?;
    if raw.is_null() {
        return Ok(Stored::Null);
    }
    let class = raw.type_info().into_owned();
    match class.name() {
        "INTEGER" => decode(raw).map(Stored::Integer),
        "REAL" => decode(raw).map(Stored::Real),
        "TEXT" => decode(raw).map(Stored::Text),
        _ => decode(raw).map(Stored::Blob),
    }
}

fn decode<'r, T: Decode<'r, sqlx::Sqlite>>(raw: SqliteValueRef<'r>) -> Result<T, Error> {
    T::decode(raw).map_err(|_| {
        Error::new(
            ErrorKind::Serialization,
            "a row holds text that is not UTF-8; mend it, or read its bytes by a query with CAST(.. AS BLOB)",
        )
    })
}

fn value(row: &SqliteRow, index: usize, form: Form) -> Result<Value, Error> {
    Ok(match stored(row, index)? {
        Stored::Null => Value::Null,
        Stored::Integer(number @ (0 | 1)) if form == Form::Bool => Value::Bool(number == 1),
        Stored::Integer(number) => Value::Integer(number),
        Stored::Real(number) => Value::Real(number),
        Stored::Text(text) if form == Form::Timestamp => {
            timestamp(&text).map_or_else(|| Value::Text(text), Value::Timestamp)
        }
        Stored::Text(text) => Value::Text(text),
        Stored::Blob(bytes) => Value::Bytes(bytes),
    })
}

fn position(row: &SqliteRow, values: &[Value], layout: &Layout<Form>) -> Result<Result<Box<[Exact]>, usize>, Error> {
    let mut position = Vec::with_capacity(layout.position.len());
    for (place, index) in layout.position.iter().enumerate() {
        // What was decoded as it is stored needs no second look at the row.
        let exact = match values.get(*index) {
            Some(Value::Integer(number)) => Some(Exact::Integer(*number)),
            Some(Value::Real(number)) => Some(Exact::Real(*number)),
            Some(Value::Text(text)) => Some(Exact::Text(text.clone())),
            Some(Value::Bytes(bytes)) => Some(Exact::Blob(bytes.clone())),
            _ => exact(row, *index).map_err(|error| error.with_column(&layout.names[*index]))?,
        };
        match exact {
            Some(exact) => position.push(exact),
            None => return Ok(Err(place)),
        }
    }
    Ok(Ok(position.into()))
}

fn exact(row: &SqliteRow, index: usize) -> Result<Option<Exact>, Error> {
    Ok(match stored(row, index)? {
        Stored::Null => None,
        Stored::Integer(number) => Some(Exact::Integer(number)),
        Stored::Real(number) => Some(Exact::Real(number)),
        Stored::Text(text) => Some(Exact::Text(text)),
        Stored::Blob(bytes) => Some(Exact::Blob(bytes)),
    })
}

/// Whether a mark is there: not NULL, and neither false nor 0, also where a column of text holds them.
fn is_set(row: &SqliteRow, index: usize) -> Result<bool, Error> {
    Ok(match stored(row, index)? {
        Stored::Null | Stored::Integer(0) => false,
        Stored::Real(number) => number != 0.0,
        Stored::Text(text) => text != "0" && !text.eq_ignore_ascii_case("false"),
        _ => true,
    })
}

fn integer(row: &SqliteRow, index: usize) -> Result<Option<i64>, Error> {
    row.try_get(index).map_err(super::classify)
}

/// A point in time in one of SQLite's forms: a date, a date and a time with a space or `T` between, perhaps with
/// fractions of a second, perhaps with an offset; without one it is UTC. Anything else, or finer than nanoseconds,
/// stays text.
fn timestamp(text: &str) -> Option<DateTime<Utc>> {
    let bytes = text.as_bytes();
    let date = date(bytes)?;
    let Some((separator, rest)) = bytes[10..].split_first() else {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    };
    if !matches!(separator, b' ' | b'T') {
        return None;
    }
    let (time, rest) = time(rest)?;
    let local = NaiveDateTime::new(date, time);
    match offset(rest)? {
        0 => Some(local.and_utc()),
        seconds => Some(local.and_local_timezone(FixedOffset::east_opt(seconds)?).single()?.to_utc()),
    }
}

/// The number that some digits spell.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn date(bytes: &[u8]) -> Option<NaiveDate> {
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i32::try_from(digits(&bytes[..4])?).ok()?;
    NaiveDate::from_ymd_opt(year, digits(&bytes[5..7])?, digits(&bytes[8..10])?)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.SSS`, and what follows.
fn time(bytes: &[u8]) -> Option<(NaiveTime, &[u8])> {
    if bytes.len() < 5 || bytes[2] != b':' {
        return None;
    }
    let (hour, minute, mut rest) = (digits(&bytes[..2])?, digits(&bytes[3..5])?, &bytes[5..]);
    let (mut second, mut nanos) = (0, 0);
    if rest.len() >= 3 && rest[0] == b':' {
        second = digits(&rest[1..3])?;
        rest = &rest[3..];
        if let [b'.', fraction @ ..] = rest {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            nanos = digits(&fraction[..length])? * 10_u32.pow(9 - u32::try_from(length).ok()?);
            rest = &fraction[length..];
        }
    }
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?, rest))
}

/// Seconds east of UTC: nothing, `Z`, `+HH:MM` or `-HH:MM`, perhaps after spaces.
fn offset(bytes: &[u8]) -> Option<i32> {
    match bytes.trim_ascii() {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m, n] if hours.len() == 2 => {
            let (hours, minutes) = (digits(hours)?, digits(&[*m, *n])?);
            let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
            (minutes < 60 && hours < 24).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlites_forms_of_time_are_points_in_time() {
        for (text, expected) in [
            ("2026-01-02", "2026-01-02T00:00:00+00:00"),
            ("2026-01-02 03:04", "2026-01-02T03:04:00+00:00"),
            ("2026-01-02 03:04:05", "2026-01-02T03:04:05+00:00"),
            ("2026-01-02T03:04:05.006Z", "2026-01-02T03:04:05.006+00:00"),
            ("2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123456789+00:00"),
            ("2026-01-02 03:04:05-05:30", "2026-01-02T08:34:05+00:00"),
        ] {
            assert_eq!(timestamp(text).unwrap().to_rfc3339(), expected, "{text}");
        }
    }

    #[test]
    fn other_text_stays_text() {
        for text in [
            "",
            "now",
            "12:30",
            "2026-13-01",
            "2026-01-02 ",
            "2026-01-02 25:00",
            "2026-01-02 03:04:05.0123456789",
            "2026-01-02 03:04:05 CET",
            "2026-01-02x03:04",
            "2459000.5",
            "ü026-01-02",
            "2026-01-02 03:04:05+1:00",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
