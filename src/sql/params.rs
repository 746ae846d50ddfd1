//! User's SQL text with `:name` parameters, as one operand of a statement of ours.

use sea_query::Expr;

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
        let wrong =
            |problem: &str| Error::new(ErrorKind::Configuration, format!("{} can't be used: {problem}", what.noun()));
        let tokens = lex::lex(&self.text, dialect).map_err(wrong)?;
        let tokens = checked(&tokens, what).map_err(wrong)?;
        if tokens.iter().any(|token| token.kind == Kind::Placeholder) {
            return Err(wrong("`?` has no value; write a parameter as `:name`"));
        }
        self.check_params(tokens).map_err(|problem| wrong(&problem))?;
        self.compose(tokens, what, dialect)
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

    /// Alternates text and values; a line break before the closing parenthesis ends a trailing `--` comment.
    fn compose(&self, tokens: &[Token<'_>], what: Part, dialect: Dialect) -> Result<Expr, Error> {
        let mut pieces = Vec::new();
        // The FROM clause puts its own parentheses around a query.
        let (open, close) = if what == Part::Filter { ("(", "\n)") } else { ("", "\n") };
        let mut text = String::from(open);
        for token in tokens {
            match token.kind {
                Kind::Parameter => {
                    let name = &token.text[1..];
                    let value = self.value(name).unwrap_or(&Value::Null);
                    pieces.push(Expr::cust(std::mem::take(&mut text)));
                    pieces.push(Expr::val(dialect.bind(value).map_err(|error| error.with_column(name))?));
                }
                _ => text.push_str(token.text),
            }
        }
        text.push_str(close);
        pieces.push(Expr::cust(text));
        Ok(Expr::cust_with_exprs(vec!["?"; pieces.len()].join(" "), pieces))
    }
}

/// What a piece of user's SQL is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Filter,
    Query,
}

impl Part {
    fn noun(self) -> &'static str {
        match self {
            Self::Filter => "the filter's SQL",
            Self::Query => "the query's SQL",
        }
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

/// Checks SQL that sea-query rendered, in which users can have put text of theirs.
pub(crate) fn check_rendered(sql: &str, what: Part, dialect: Dialect) -> Result<(), Error> {
    let outcome = lex::lex(sql, dialect).and_then(|tokens| checked(&tokens, what).map(|_| ()));
    outcome.map_err(|problem| Error::new(ErrorKind::Configuration, format!("{} can't be used: {problem}", what.noun())))
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
