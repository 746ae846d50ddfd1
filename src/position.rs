//! Positions: where in a source's order a row stands, exactly.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, json};

/// Where in a source's order a row stands.
///
/// Positions are compared by the database and never by this crate; `==` only tells whether two are the same
/// to the bit. `Debug` shows the kind and the columns, not the values.
#[non_exhaustive]
#[derive(Clone, PartialEq)]
pub enum Position {
    /// A cursor value and the key that breaks its ties.
    Keyset(Keyset),
    /// Whatever a source of one's own resumes from.
    Token(String),
}

impl Position {
    /// The keyset position, if it is one.
    #[must_use]
    pub fn as_keyset(&self) -> Option<&Keyset> {
        match self {
            Self::Keyset(keyset) => Some(keyset),
            Self::Token(_) => None,
        }
    }

    /// The token, if it is one.
    #[must_use]
    pub fn as_token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            Self::Keyset(_) => None,
        }
    }

    /// Feeds the position to a hash: every part with its length, so that no two positions feed alike.
    pub(crate) fn feed(&self, mut hash: impl FnMut(&[u8])) {
        let mut part = |bytes: &[u8]| {
            hash(&(bytes.len() as u64).to_be_bytes());
            hash(bytes);
        };
        match self {
            Self::Keyset(keyset) => {
                for (column, value) in keyset.columns() {
                    part(column.name.as_bytes());
                    value.feed(&mut part);
                }
            }
            Self::Token(token) => {
                part(b"token");
                part(token.as_bytes());
            }
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyset(keyset) => {
                let names: Vec<&str> = keyset.columns().map(|(column, _)| &*column.name).collect();
                f.debug_tuple("Keyset").field(&names).finish()
            }
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// A column of a position: its name, its declared type and its collation.
///
/// The state document keeps all three: a checkpoint taken in a column of text can't be resumed in one of
/// integers, where 9 would silently skip `'10'`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysetColumn {
    /// The column's name.
    pub name: Box<str>,
    /// The declared type, as the database writes it; empty where it has none.
    #[serde(rename = "type")]
    pub type_name: Box<str>,
    /// The collation by which it is ordered, where the database has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Box<str>>,
}

/// The columns of a source's positions: the cursor first, then the key.
pub type KeysetShape = Arc<[KeysetColumn]>;

/// The cursor value and the key of one row, in the form in which they are stored.
#[derive(Clone, PartialEq)]
pub struct Keyset {
    shape: KeysetShape,
    values: Box<[Exact]>,
}

impl Keyset {
    /// A position of one value for each column, the cursor first.
    ///
    /// # Panics
    ///
    /// If there are not as many values as columns, or no column at all.
    #[must_use]
    pub fn new(shape: KeysetShape, values: impl Into<Box<[Exact]>>) -> Self {
        let values = values.into();
        assert!(!values.is_empty() && shape.len() == values.len(), "a position has one value for each column");
        Self { shape, values }
    }

    /// The columns.
    #[must_use]
    pub fn shape(&self) -> &KeysetShape {
        &self.shape
    }

    /// The value of the cursor column.
    #[must_use]
    pub fn cursor(&self) -> &Exact {
        &self.values[0]
    }

    /// The values of the key columns, in order.
    #[must_use]
    pub fn key(&self) -> &[Exact] {
        &self.values[1..]
    }

    /// All values, the cursor's first.
    #[must_use]
    pub fn values(&self) -> &[Exact] {
        &self.values
    }

    /// Columns and values, the cursor first.
    pub fn columns(&self) -> impl Iterator<Item = (&KeysetColumn, &Exact)> {
        self.shape.iter().zip(&self.values)
    }

    /// The key's names and values, in order.
    pub fn tiebreaker(&self) -> impl Iterator<Item = (&str, &Exact)> {
        self.columns().skip(1).map(|(column, value)| (&*column.name, value))
    }
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyset").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// One value of a position, exactly as it is stored: binding it back selects the very row it came from.
///
/// In JSON, text is a string and an integer a number while every JSON reader can hold it (up to 2^53);
/// beyond, and for the other classes, it is an object that names the class: `{"integer": "9007199254740993"}`,
/// `{"real": "0.1", "bits": "3fb999999999999a"}`, `{"blob": "AP8="}`.
#[non_exhaustive]
#[derive(Clone)]
pub enum Exact {
    /// A signed integer.
    Integer(i64),
    /// A real number; same means same bits.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The largest integer that a JSON reader with only doubles can hold.
const JSON_SAFE: u64 = 1 << 53;

impl Exact {
    fn feed(&self, part: &mut impl FnMut(&[u8])) {
        match self {
            Self::Integer(number) => {
                part(b"i");
                part(&number.to_be_bytes());
            }
            Self::Real(number) => {
                part(b"r");
                part(&number.to_bits().to_be_bytes());
            }
            Self::Text(text) => {
                part(b"t");
                part(text.as_bytes());
            }
            Self::Blob(bytes) => {
                part(b"b");
                part(bytes);
            }
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Integer(number) if number.unsigned_abs() <= JSON_SAFE => json!(number),
            Self::Integer(number) => json!({ "integer": number.to_string() }),
            Self::Real(number) => json!({ "real": number.to_string(), "bits": format!("{:016x}", number.to_bits()) }),
            Self::Text(text) => json!(text),
            Self::Blob(bytes) => json!({ "blob": BASE64.encode(bytes) }),
        }
    }

    fn from_json(json: &serde_json::Value) -> Option<Self> {
        if let Some(text) = json.as_str() {
            return Some(Self::Text(text.to_owned()));
        }
        if let Some(number) = json.as_i64() {
            return Some(Self::Integer(number));
        }
        let field = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
        if let Some(number) = field("integer") {
            return number.parse().ok().map(Self::Integer);
        }
        if let Some(bits) = field("bits") {
            return u64::from_str_radix(bits, 16).ok().map(|bits| Self::Real(f64::from_bits(bits)));
        }
        BASE64.decode(field("blob")?).ok().map(Self::Blob)
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Blob(a), Self::Blob(b)) => a == b,
            _ => false,
        }
    }
}

/// The class, not the content.
impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer(_) => "Integer",
            Self::Real(_) => "Real",
            Self::Text(_) => "Text",
            Self::Blob(_) => "Blob",
        })
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            other => other.to_json().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&json).ok_or_else(|| D::Error::custom("a position's value is of no known form"))
    }
}

/// How a position stands in the state document.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Stored {
    Keyset { columns: KeysetShape, value: Exact, tiebreaker: Map<String, serde_json::Value> },
    Token { value: String },
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match self {
            Self::Keyset(keyset) => Stored::Keyset {
                columns: keyset.shape.clone(),
                value: keyset.cursor().clone(),
                tiebreaker: keyset.tiebreaker().map(|(name, value)| (name.to_owned(), value.to_json())).collect(),
            },
            Self::Token(token) => Stored::Token { value: token.clone() },
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Token { value } => Ok(Self::Token(value)),
            Stored::Keyset { columns, value, tiebreaker } => {
                let Some((_, key)) = columns.split_first() else {
                    return Err(D::Error::custom("a keyset position has no columns"));
                };
                let key = key.iter().map(|column| tiebreaker.get(&*column.name).and_then(Exact::from_json));
                let values: Option<Vec<Exact>> = std::iter::once(Some(value)).chain(key).collect();
                let values = values.ok_or_else(|| D::Error::custom("the tiebreaker lacks a column of the key"))?;
                Ok(Self::Keyset(Keyset::new(columns, values)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(name: &str) -> KeysetColumn {
        KeysetColumn { name: name.into(), type_name: "TEXT".into(), collation: Some("BINARY".into()) }
    }

    fn exact() -> impl Strategy<Value = Exact> {
        prop_oneof![
            any::<i64>().prop_map(Exact::Integer),
            any::<u64>().prop_map(|bits| Exact::Real(f64::from_bits(bits))),
            any::<String>().prop_map(Exact::Text),
            any::<Vec<u8>>().prop_map(Exact::Blob),
        ]
    }

    proptest! {
        #[test]
        fn json_keeps_every_bit(values in prop::collection::vec(exact(), 1..5)) {
            // Names in descending order: the order of the key must survive a map that sorts.
            let shape: KeysetShape = (0..values.len()).rev().map(|n| column(&format!("c{n}"))).collect();
            let position = Position::Keyset(Keyset::new(shape, values));
            let text = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
        }
    }

    #[test]
    fn the_written_form_is_pinned() {
        let shape: KeysetShape = [column("updated_at"), column("id")].into();
        let values = vec![Exact::Text("2026-01-01".into()), Exact::Integer(9_007_199_254_740_993)];
        let text = serde_json::to_string(&Position::Keyset(Keyset::new(shape, values))).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"kind":"keyset","columns":[{"name":"updated_at","type":"TEXT","collation":"BINARY"},"#,
                r#"{"name":"id","type":"TEXT","collation":"BINARY"}],"value":"2026-01-01","#,
                r#""tiebreaker":{"id":{"integer":"9007199254740993"}}}"#
            )
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let position = Position::Keyset(Keyset::new([column("c")].into(), [Exact::Text("secret".into())]));
        assert!(!format!("{position:?}").contains("secret"));
    }
}
