//! Values and rows: what a handler sees of a database.
//!
//! A [`Row`] is an ordered map from column names to typed [`Value`]s. It serialises to JSON as it stands,
//! and turns into any `serde::Deserialize` type without passing through a JSON value.

mod de;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;

pub use de::DecodeError;

/// One value of a row, in the type that the database gave it.
///
/// In JSON, timestamps are RFC 3339 in UTC, bytes are base64, and reals that JSON can't hold are the
/// strings `"NaN"`, `"Infinity"` and `"-Infinity"`. `Debug` shows the type and never the content.
#[non_exhaustive]
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer of up to 64 bits.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A point in time.
    Timestamp(DateTime<Utc>),
}

impl Value {
    /// The name of the value's type, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "timestamp",
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is a real or an integer.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "asked for as a float")]
            Self::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) if number.is_finite() => serializer.serialize_f64(*number),
            Self::Real(number) => serializer.serialize_str(non_finite(*number)),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&BASE64.encode(bytes)),
            Self::Timestamp(time) => serializer.serialize_str(&rfc3339(time)),
        }
    }
}

/// The names that JSON readers of several languages agree on.
fn non_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn rfc3339(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

macro_rules! value_from {
    ($($variant:ident from $($from:ty),+;)+) => {$($(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )+)+};
}

value_from! {
    Bool from bool;
    Integer from i8, i16, i32, i64, u8, u16, u32;
    Real from f32, f64;
    Text from &str, String, Box<str>;
    Bytes from &[u8], Vec<u8>;
    Timestamp from DateTime<Utc>;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The names of a row's columns, in order; shared by all rows of a batch.
pub type Columns = Arc<[Box<str>]>;

/// An ordered map from column names to values.
///
/// ```
/// use highwater::{Row, Value};
///
/// let row = Row::from_iter([("id", Value::from(7)), ("status", Value::from("paid"))]);
/// assert_eq!(row.get("status").and_then(Value::as_str), Some("paid"));
/// assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"id":7,"status":"paid"}"#);
///
/// #[derive(serde::Deserialize)]
/// struct Order { id: i64, status: String }
/// let order: Order = row.decode().unwrap();
/// assert_eq!((order.id, order.status.as_str()), (7, "paid"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Row {
    columns: Columns,
    values: Vec<Value>,
}

impl Row {
    /// A row with one value for each column.
    ///
    /// # Panics
    ///
    /// If there are not as many values as columns.
    #[must_use]
    pub fn new(columns: Columns, values: Vec<Value>) -> Self {
        assert_eq!(columns.len(), values.len(), "a row has one value for each column");
        Self { columns, values }
    }

    /// The value of a column, or `None` where there is no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        let index = self.columns.iter().position(|name| **name == *column)?;
        Some(&self.values[index])
    }

    /// The columns' names, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(|name| &**name).zip(&self.values)
    }

    /// The number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the row has no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Turns the row into a type of the caller's: a struct or map by column name, a tuple by order.
    ///
    /// A timestamp serves as `chrono::DateTime<Utc>` and as text in RFC 3339, not as a `NaiveDateTime`.
    /// Integers 0 and 1 serve as `bool`; text serves as an enum's unit variant, and text that holds JSON
    /// as a nested struct, map or list.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the column, what was expected and what type was found.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T, DecodeError> {
        T::deserialize(self)
    }

    fn into_parts(self) -> (Columns, Vec<Value>) {
        (self.columns, self.values)
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Row {
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(pairs: I) -> Self {
        let (names, values): (Vec<Box<str>>, Vec<Value>) =
            pairs.into_iter().map(|(name, value)| (name.into(), value)).unzip();
        Self { columns: names.into(), values }
    }
}

/// Columns and types, no content.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What a batch can turn its rows into: [`Row`] itself, or any `serde::Deserialize` type.
pub trait FromRow: Sized {
    /// Turns a row into `Self`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] where a value doesn't fit.
    fn from_row(row: Row) -> Result<Self, DecodeError>;
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self, DecodeError> {
        Ok(row)
    }
}

impl<T: DeserializeOwned> FromRow for T {
    fn from_row(row: Row) -> Result<Self, DecodeError> {
        row.decode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_what_it_can_not_express() {
        let row = Row::from_iter([
            ("big", Value::from(9_007_199_254_740_993_i64)),
            ("inf", Value::from(f64::NEG_INFINITY)),
            ("blob", Value::from(vec![0_u8, 255])),
            ("at", Value::from(DateTime::from_timestamp(1_767_225_600, 5_000_000).unwrap())),
            ("none", Value::Null),
        ]);
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"big":9007199254740993,"inf":"-Infinity","blob":"AP8=","at":"2026-01-01T00:00:00.005Z","none":null}"#
        );
    }

    #[test]
    fn debug_shows_types_only() {
        let row = Row::from_iter([("card", Value::from("4111"))]);
        assert_eq!(format!("{row:?}"), r#"{"card": text}"#);
    }
}
