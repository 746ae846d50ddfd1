//! A lexer for SQL that users write: just enough to find parameters and to know where quotes, comments and
//! parentheses end, exactly as the database will.

use crate::sql::dialect::Dialect;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    Comment,
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Quoted,
    /// A string literal.
    Literal,
    Number,
    /// `:name`.
    Parameter,
    /// `?`, as sea-query writes it.
    Placeholder,
    Open,
    Close,
    Semicolon,
    Other,
}

/// A token and its text; all tokens together are the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

/// Splits SQL into tokens.
///
/// # Errors
///
/// A phrase that says what is not closed, or not allowed.
pub(crate) fn lex(sql: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, &'static str> {
    let Dialect::Sqlite = dialect;
    let mut tokens = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let (kind, length) = next(rest)?;
        let (text, after) = rest.split_at(length);
        tokens.push(Token { kind, text });
        rest = after;
    }
    Ok(tokens)
}

/// The first token of a text that isn't empty: its kind and its length in bytes.
fn next(text: &str) -> Result<(Kind, usize), &'static str> {
    let bytes = text.as_bytes();
    let following = bytes.get(1).copied();
    Ok(match bytes[0] {
        0 => return Err("it holds a NUL character"),
        b' ' | b'\t' | b'\n' | b'\r' | 0x0c => (Kind::Space, 1),
        b'-' if following == Some(b'-') => (Kind::Comment, text.find('\n').map_or(text.len(), |end| end + 1)),
        b'/' if following == Some(b'*') => {
            let end = text[2..].find("*/").ok_or("a comment `/*` is not closed")?;
            (Kind::Comment, end + 4)
        }
        b'\'' => (Kind::Literal, quoted(bytes).ok_or("a quote `'` is not closed")?),
        b'"' => (Kind::Quoted, quoted(bytes).ok_or("a quote `\"` is not closed")?),
        b'`' => (Kind::Quoted, quoted(bytes).ok_or("a quote ``` is not closed")?),
        b'[' => (Kind::Quoted, text.find(']').ok_or("a bracket `[` is not closed")? + 1),
        b'(' => (Kind::Open, 1),
        b')' => (Kind::Close, 1),
        b';' => (Kind::Semicolon, 1),
        b'?' => (Kind::Placeholder, 1),
        b':' if following.is_some_and(starts_word) => {
            (Kind::Parameter, 1 + run(&bytes[1..], |b| b.is_ascii_alphanumeric() || b == b'_'))
        }
        // SQLite would read `::x(...)` as one variable, up to the parenthesis, whatever stands in it.
        b':' => return Err("a `:` stands alone; a parameter is `:name`"),
        b'$' | b'@' | b'#' => return Err("`$`, `@` and `#` start parameters of the driver; write them as `:name`"),
        b'0'..=b'9' => (Kind::Number, run(bytes, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')),
        byte if starts_word(byte) || byte >= 0x80 => {
            (Kind::Word, run(bytes, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80))
        }
        _ => (Kind::Other, 1),
    })
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len())
}

/// The length of a quoted text; its quote is written twice to stand in it.
fn quoted(bytes: &[u8]) -> Option<usize> {
    let quote = bytes[0];
    let mut at = 1;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// One text for all spellings of the same SQL: white space, comments, the case of words and the quotes of plain
/// identifiers don't count. Text that can't be read stays as it is.
pub(crate) fn canonical(sql: &str, dialect: Dialect) -> String {
    let Ok(tokens) = lex(sql, dialect) else {
        return sql.trim().to_owned();
    };
    let words = tokens.iter().filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment)).map(canonical_token);
    words.collect::<Vec<_>>().join(" ")
}

fn canonical_token(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Word | Kind::Number => token.text.to_ascii_lowercase(),
        Kind::Quoted => {
            let (quote, inner) = (&token.text[..1], &token.text[1..token.text.len() - 1]);
            let name = if quote == "[" { inner.to_owned() } else { inner.replace(&quote.repeat(2), quote) };
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && name.starts_with(|first: char| !first.is_ascii_digit());
            if plain { name } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        }
        _ => token.text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<Kind> {
        lex(sql, Dialect::Sqlite).unwrap().iter().map(|token| token.kind).filter(|kind| *kind != Kind::Space).collect()
    }

    #[test]
    fn parameters_hide_in_no_quote_and_no_comment() {
        assert_eq!(kinds("':a'"), [Kind::Literal]);
        assert_eq!(kinds("'it''s :a'"), [Kind::Literal]);
        assert_eq!(kinds("\":a\" `:a` [:a]"), [Kind::Quoted, Kind::Quoted, Kind::Quoted]);
        assert_eq!(kinds("-- :a\n:b"), [Kind::Comment, Kind::Parameter]);
        assert_eq!(kinds("/* :a */ /**/ :b"), [Kind::Comment, Kind::Comment, Kind::Parameter]);
        assert_eq!(kinds("/*/ :a */"), [Kind::Comment]);
        assert_eq!(kinds("x=:a_1"), [Kind::Word, Kind::Other, Kind::Parameter]);
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for sql in ["'", "\"", "`", "[", "/*", "/*/", "'a''", "::x(y)", "$1", "@a", "#1", "a\0b", ":", ": a"] {
            assert!(lex(sql, Dialect::Sqlite).is_err(), "{sql}");
        }
    }

    #[test]
    fn spellings_of_the_same_sql_are_one() {
        let canonical = |sql| canonical(sql, Dialect::Sqlite);
        assert_eq!(canonical("SELECT  \"id\"\nFROM [t] -- all\n"), canonical("select id from /* x */ t"));
        assert_ne!(canonical("a = 'X'"), canonical("a = 'x'"));
        assert_ne!(canonical("\"A b\""), canonical("a b"));
    }
}
