//! User's SQL text with `:name` parameters, as one operand of a statement of ours.

use std::borrow::Cow;

use sea_query::{Expr, Values};

use crate::error::{Error, ErrorKind};
use crate::sql::dialect::Dialect;
use crate::sql::lex::{self, Kind, Token};
use crate::value::Value;

/// SQL text and the values of its `:name` parameters, as the user gave them.
///
/// `Debug` shows no value.
#[derive(Clone)]
pub(crate) struct SqlText {
    pub(crate) text: Box<str>,
    pub(crate) params: Vec<(Box<str>, Value)>,
}

impl SqlText {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), params: Vec::new() }
    }

    /// The text with its values bound, as one operand (a query without the parentheses that FROM adds): whatever it holds, nothing of it reaches outside.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] where the text isn't one balanced piece of SQL, or its parameters and the
    /// values given don't match.
    pub(crate) fn operand(&self, what: Part, dialect: Dialect) -> Result<Expr, Error> {
        let wrong = |problem: &str| what.refused(problem);
        let tokens = lex::lex(&self.text, dialect).map_err(wrong)?;
        let tokens = checked(&tokens, what).map_err(wrong)?;
        if tokens.iter().any(|token| token.kind == Kind::Placeholder) {
            return Err(wrong("`?` has no value; write a parameter as `:name`"));
        }
        self.check_params(tokens).map_err(|problem| wrong(&problem))?;
        compose(tokens, what, |token| match token.kind {
            Kind::Parameter => {
                let name = &token.text[1..];
                let value = dialect.bind(self.value(name).unwrap_or(&Value::Null));
                value.map(Piece::Value).map_err(|problem| wrong(&format!("parameter `{name}`: {problem}")))
            }
            _ => Ok(Piece::Text(token.text.into())),
        })
    }

    fn check_params(&self, tokens: &[Token<'_>]) -> Result<(), String> {
        let wanted = || tokens.iter().filter(|token| token.kind == Kind::Parameter).map(|token| &token.text[1..]);
        for (index, (name, _)) in self.params.iter().enumerate() {
            if self.params[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("parameter `{name}` is given twice"));
            }
            if !wanted().any(|other| other == &**name) {
                return Err(format!("parameter `{name}` is given, but the text has no `:{name}`"));
            }
        }
        match wanted().find(|name| self.value(name).is_none()) {
            Some(name) => Err(format!("parameter `:{name}` has no value; give it with `.param(\"{name}\", ..)`")),
            None => Ok(()),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.params.iter().find(|(other, _)| &**other == name).map(|(_, value)| value)
    }
}

/// What a piece of user's SQL is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Filter,
    Query,
}

impl Part {
    fn refused(self, problem: &str) -> Error {
        let noun = match self {
            Self::Filter => "filter",
            Self::Query => "query",
        };
        Error::new(ErrorKind::Configuration, format!("the {noun}'s SQL can't be used: {problem}"))
    }
}

/// The tokens without a trailing semicolon, if they are one balanced piece.
fn checked<'t, 's>(tokens: &'t [Token<'s>], what: Part) -> Result<&'t [Token<'s>], &'static str> {
    let means = |token: &Token<'_>| !matches!(token.kind, Kind::Space | Kind::Comment);
    let last = tokens.iter().rposition(|token| means(token) && token.kind != Kind::Semicolon).ok_or("it is empty")?;
    let (tokens, trailing) = tokens.split_at(last + 1);
    if tokens.iter().any(|token| token.kind == Kind::Semicolon) {
        return Err("it holds more than one statement");
    }
    let semicolons = trailing.iter().filter(|token| token.kind == Kind::Semicolon).count();
    if semicolons > usize::from(what == Part::Query) {
        return Err("it ends in a semicolon too many");
    }
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1).ok_or("a parenthesis `)` has no opening one")?,
            _ => {}
        }
    }
    if depth > 0 {
        return Err("a parenthesis `(` is not closed");
    }
    let first = tokens.iter().find(|token| means(token)).map_or("", |token| token.text);
    let is_query = ["select", "with", "values"].iter().any(|word| first.eq_ignore_ascii_case(word));
    if what == Part::Query && !is_query {
        return Err("it does not start with SELECT, WITH or VALUES");
    }
    Ok(tokens)
}

/// SQL that sea-query rendered, in which users can have put text of theirs, as one operand like text alone.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] where it isn't one balanced piece of SQL, or has binds without values.
pub(crate) fn rendered(sql: &str, values: Values, what: Part, dialect: Dialect) -> Result<Expr, Error> {
    let tokens = lex::lex(sql, dialect).and_then(|tokens| checked(&tokens, what).map(<[_]>::to_vec));
    let tokens = tokens.map_err(|problem| what.refused(problem))?;
    let mut values = values.into_iter();
    let operand = compose(&tokens, what, |token| match token.kind {
        Kind::Placeholder => values.next().map(Piece::Value).ok_or_else(|| what.refused("a `?` has no value")),
        Kind::Parameter => Err(what.refused("its `:name` has no value; give SQL text instead, and its parameters")),
        Kind::Quoted => Ok(Piece::Text(strict(token.text, dialect))),
        _ => Ok(Piece::Text(token.text.into())),
    })?;
    match values.next() {
        None => Ok(operand),
        Some(_) => Err(what.refused("it has fewer `?` than values")),
    }
}

/// An identifier in the quotes that can't be a literal: SQLite takes `"name"` for text where no column is called so,
/// and a filter on a misspelt column would be one on nothing.
fn strict(quoted: &str, dialect: Dialect) -> Cow<'_, str> {
    let Dialect::Sqlite = dialect;
    match quoted.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => format!("`{}`", name.replace("\"\"", "\"").replace('`', "``")).into(),
        None => quoted.into(),
    }
}

/// What a token becomes.
enum Piece<'t> {
    Text(Cow<'t, str>),
    Value(sea_query::Value),
}

/// Alternates text and values; a line break at the end ends a trailing `--` comment.
fn compose<'t>(
    tokens: &[Token<'t>],
    what: Part,
    mut piece: impl FnMut(&Token<'t>) -> Result<Piece<'t>, Error>,
) -> Result<Expr, Error> {
    // The FROM clause puts its own parentheses around a query.
    let (open, close) = if what == Part::Filter { ("(", "\n)") } else { ("", "\n") };
    let (mut pieces, mut text) = (Vec::new(), String::from(open));
    for token in tokens {
        match piece(token)? {
            Piece::Text(more) => text.push_str(&more),
            Piece::Value(value) => {
                pieces.push(Expr::cust(std::mem::take(&mut text)));
                pieces.push(Expr::val(value));
            }
        }
    }
    text.push_str(close);
    pieces.push(Expr::cust(text));
    Ok(Expr::cust_with_exprs(vec!["?"; pieces.len()].join(" "), pieces))
}

#[cfg(test)]
mod tests {
    use sea_query::{Query, SqliteQueryBuilder};

    use super::*;

    fn filter(text: &str, params: &[&str]) -> Result<(String, usize), String> {
        let params = params.iter().map(|name| ((*name).into(), Value::from(1))).collect();
        let sql = SqlText { text: text.into(), params };
        let expr = sql.operand(Part::Filter, Dialect::Sqlite).map_err(|error| error.message().to_owned())?;
        let (sql, values) = Query::select().expr(expr).build(SqliteQueryBuilder);
        Ok((sql, values.0.len()))
    }

    #[test]
    fn text_becomes_one_operand_with_bound_values() {
        let (sql, values) = filter("a = :x OR b = ':y' OR c = :x -- done", &["x"]).unwrap();
        assert_eq!(sql.split_whitespace().collect::<Vec<_>>().join(" "), "SELECT (a = ? OR b = ':y' OR c = ? )");
        assert_eq!(values, 2);
        let (sql, _) = filter("a LIKE '?' AND b = '$1' /* ? */ AND c = 1", &[]).unwrap();
        assert_eq!(sql, "SELECT (a LIKE '?' AND b = '$1' /* ? */ AND c = 1\n)");
    }

    #[test]
    fn refusals_say_why() {
        for (text, params, reason) in [
            ("", &[][..], "it is empty"),
            (" -- nothing", &[], "it is empty"),
            ("1; DROP TABLE t", &[], "more than one statement"),
            ("1)", &[], "has no opening one"),
            ("(1", &[], "is not closed"),
            ("1) OR (1", &[], "has no opening one"),
            ("a = 'x", &[], "is not closed"),
            ("a = :x", &[], "`:x` has no value"),
            ("a = 1", &["x"], "the text has no `:x`"),
            ("a = :x", &["x", "x"], "given twice"),
            ("a = ?", &[], "write a parameter as `:name`"),
        ] {
            let refused = filter(text, params).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
