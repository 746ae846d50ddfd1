//! A row as a serde deserializer.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::{Columns, Row, Value, rfc3339};

/// A row that doesn't fit the type it was to become: the column, what was expected, what was found.
///
/// It never carries a value, not even in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    column: Option<Box<str>>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Mismatch { expected: Box<str>, found: &'static str },
    MissingColumn(Box<str>),
    UnknownColumn(Box<str>),
    Refused { found: &'static str },
}

impl DecodeError {
    fn mismatch(expected: impl fmt::Display, found: &'static str) -> Self {
        Self { column: None, problem: Problem::Mismatch { expected: expected.to_string().into(), found } }
    }

    /// The column, where one column is to blame.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match &self.problem {
            Problem::MissingColumn(name) | Problem::UnknownColumn(name) => Some(name),
            _ => self.column.as_deref(),
        }
    }

    /// The sentence without the column's name, for errors that name it themselves.
    pub(crate) fn sentence(&self) -> String {
        self.problem.to_string()
    }

    fn at(mut self, column: &str, found: &'static str) -> Self {
        if let Problem::Refused { found: unknown @ "" } = &mut self.problem {
            *unknown = found;
        }
        self.column.get_or_insert_with(|| column.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::MissingColumn(name) => write!(f, "the type wants a column `{name}`, the row has none"),
            Self::UnknownColumn(name) => write!(f, "the row has a column `{name}`, which the type refuses"),
            Self::Refused { found: "" } => f.write_str("the type refused the row"),
            Self::Refused { found } => write!(f, "the type refused the {found}"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(column), Problem::Mismatch { .. } | Problem::Refused { .. }) = (&self.column, &self.problem) {
            write!(f, "column `{column}`: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for DecodeError {}

/// serde's own messages quote the value; these don't.
impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { column: None, problem: Problem::Refused { found: "" } }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::mismatch(expected, type_of(&unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) => "an integer out of its range",
            ref other => type_of(other),
        };
        Self::mismatch(expected, found)
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::mismatch(expected, "another number of columns or elements")
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::mismatch(format_args!("one of {}", expected.join(", ")), "text that is none of them")
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self { column: None, problem: Problem::UnknownColumn(field.into()) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { column: None, problem: Problem::MissingColumn(field.into()) }
    }
}

fn type_of(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "real",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "NULL",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "another type",
    }
}

impl<'de> de::Deserializer<'de> for Row {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let (columns, values) = self.into_parts();
        visitor.visit_map(Fields { columns, next: 0, values: values.into_iter() })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let (columns, values) = self.into_parts();
        visitor.visit_seq(Fields { columns, next: 0, values: values.into_iter() })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit_struct map struct enum identifier
    }
}

/// Walks the columns: as a map for structs, as a sequence for tuples.
struct Fields {
    columns: Columns,
    next: usize,
    values: std::vec::IntoIter<Value>,
}

impl Fields {
    fn value<'de, T: DeserializeSeed<'de>>(&mut self, seed: T, value: Value) -> Result<T::Value, DecodeError> {
        let column = &self.columns[self.next];
        let found = value.type_name();
        self.next += 1;
        seed.deserialize(value).map_err(|error| error.at(column, found))
    }
}

impl<'de> de::MapAccess<'de> for Fields {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.columns.get(self.next) {
            Some(name) => seed.deserialize(StrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let value = self.values.next().expect("serde asks for a value after its key");
        self.value(seed, value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

impl<'de> de::SeqAccess<'de> for Fields {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        match self.values.next() {
            Some(value) => self.value(seed, value).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

impl IntoDeserializer<'_, DecodeError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Value {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(truth) => visitor.visit_bool(truth),
            Self::Integer(number) => visitor.visit_i64(number),
            Self::Real(number) => visitor.visit_f64(number),
            Self::Text(text) => visitor.visit_string(text),
            Self::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Self::Timestamp(time) => visitor.visit_string(rfc3339(&time)),
        }
    }

    /// Databases without a boolean type store 0 and 1.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Integer(number @ (0 | 1)) => visitor.visit_bool(number == 1),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Null => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// `Vec<u8>` asks for a sequence; JSON text serves as any other one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            Self::Text(text) => from_json(&text, |json| de::Deserializer::deserialize_seq(json, visitor)),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Self::Text(text) => from_json(&text, |json| de::Deserializer::deserialize_map(json, visitor)),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self {
            Self::Text(text) => visitor.visit_enum(text.into_deserializer()),
            other => Err(DecodeError::mismatch("the name of a variant", other.type_name())),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct identifier
    }
}

/// Reads text as JSON; its errors quote the text, so they are not kept.
fn from_json<T>(
    text: &str,
    read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::IoRead<&[u8]>>) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    let mut json = serde_json::Deserializer::from_reader(text.as_bytes());
    read(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|_| DecodeError::mismatch("JSON of the field's type", "text that is not"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    fn row(pairs: &[(&str, Value)]) -> Row {
        pairs.iter().cloned().collect()
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Paid,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Everything {
        id: u32,
        paid: bool,
        total: f64,
        note: Option<String>,
        status: Status,
        bytes: Vec<u8>,
        tags: Vec<String>,
        address: BTreeMap<String, i64>,
        at: chrono::DateTime<chrono::Utc>,
    }

    fn full() -> Vec<(&'static str, Value)> {
        vec![
            ("id", Value::from(7)),
            ("paid", Value::from(1)),
            ("total", Value::from(3)),
            ("note", Value::Null),
            ("status", Value::from("paid")),
            ("bytes", Value::from(vec![1_u8, 2])),
            ("tags", Value::from(r#"["a","b"]"#)),
            ("address", Value::from(r#"{"zip":1234}"#)),
            ("at", Value::from(chrono::DateTime::from_timestamp(0, 0).unwrap())),
            ("unasked", Value::from("ignored")),
        ]
    }

    #[test]
    fn every_form_of_field_decodes() {
        let decoded: Everything = row(&full()).decode().unwrap();
        assert_eq!(decoded.id, 7);
        assert!(decoded.paid);
        assert_eq!(decoded.note, None);
        assert_eq!(decoded.tags, ["a", "b"]);
        assert_eq!(decoded.address["zip"], 1234);
        assert_eq!(decoded.at.timestamp(), 0);
        assert_eq!(row(&[("a", 1.into()), ("b", "x".into())]).decode::<(i64, String)>().unwrap(), (1, "x".into()));
    }

    #[test]
    fn no_value_passes_through_json() {
        let values = [("real", Value::from(f64::INFINITY)), ("bytes", Value::from(vec![0_u8, 255]))];
        let (real, bytes): (f64, Vec<u8>) = row(&values).decode().unwrap();
        assert_eq!((real, bytes), (f64::INFINITY, vec![0, 255]), "JSON has no infinity, and bytes would be base64");
    }

    #[test]
    fn errors_name_column_expected_and_found_and_never_the_content() {
        let secret = "4111-1111";
        let wrong = [
            ("id", Value::from(secret), "column `id`: expected u32, found text"),
            ("id", Value::from(-1), "column `id`: expected u32, found an integer out of its range"),
            ("note", Value::from(3.5), "column `note`: expected a string, found real"),
            ("paid", Value::from(2), "column `paid`: expected a boolean, found integer"),
            ("status", Value::from(secret), "column `status`: expected one of paid, found text that is none of them"),
            (
                "address",
                Value::from(secret),
                "column `address`: expected JSON of the field's type, found text that is not",
            ),
            ("at", Value::from(secret), "column `at`: the type refused the text"),
        ];
        for (column, value, message) in wrong {
            let mut pairs = full();
            pairs.iter_mut().find(|(name, _)| *name == column).unwrap().1 = value;
            let error = row(&pairs).decode::<Everything>().unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.column(), Some(column));
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = row(&[("id", 1.into())]).decode::<Everything>().unwrap_err();
        assert_eq!(error.to_string(), "the type wants a column `paid`, the row has none");
    }

    #[test]
    fn maps_take_any_column() {
        let map: BTreeMap<String, Option<i64>> = row(&[("a", 1.into()), ("b", Value::Null)]).decode().unwrap();
        assert_eq!(map, BTreeMap::from([("a".into(), Some(1)), ("b".into(), None)]));
    }
}
