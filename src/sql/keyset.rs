//! Reading in keyset order: the one statement behind every fetch.

use sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Func, Order, Query, SelectStatement, UnionType, Value};

/// Where rows come from.
#[derive(Clone, Debug)]
pub(crate) enum Relation {
    /// A table or view, in a schema or in the default one.
    Table { schema: Option<Box<str>>, name: Box<str> },
    /// A query's text, wrapped as a subquery.
    Query(Expr),
}

/// What a wrapped query is called.
const QUERY: &str = "q";

impl Relation {
    /// The column, qualified: never an alias of the projection, never a string literal by mistake.
    pub(crate) fn column(&self, name: &str) -> Expr {
        let table = match self {
            Self::Table { name, .. } => &**name,
            Self::Query(_) => QUERY,
        };
        Expr::col((Alias::new(table), Alias::new(name)))
    }

    /// A SELECT of nothing yet from here.
    pub(crate) fn select(&self) -> SelectStatement {
        let mut select = Query::select();
        match self {
            Self::Table { schema: Some(schema), name } => select.from((Alias::new(&**schema), Alias::new(&**name))),
            Self::Table { schema: None, name } => select.from(Alias::new(&**name)),
            // A function without a name is parentheses, and takes an alias.
            Self::Query(text) => select.from_function(Func::cust("").arg(text.clone()), Alias::new(QUERY)),
        };
        select
    }
}

/// How "strictly after a position" is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// `(u, k) > (?, ?)`.
    RowValue,
    /// `u = ? AND k > ?`, then `u > ?`: where the tiebreaker is SQLite's rowid, a row value seeks on `u` alone and
    /// walks its ties.
    TwoSteps,
}

/// What is known of the rows at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There may be any number with the same cursor.
    AmongTies,
    /// There are no more with the same cursor below it than one batch has rows.
    Apart,
}

/// A column that says something about the row instead of being part of it; they come last, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Whether the row is older than the lag.
    pub(crate) ripe: bool,
    /// Which of the two steps found it.
    pub(crate) step: bool,
    /// Whether its position is above that of the row before.
    pub(crate) above: bool,
}

/// A statement for every fetch of one shape: only position and limit differ.
#[derive(Clone, Debug)]
pub(crate) struct Keyset {
    pub(crate) relation: Relation,
    /// What is selected, in order.
    pub(crate) columns: Vec<Box<str>>,
    /// The position's columns, without repeats.
    pub(crate) order: Vec<Box<str>>,
    /// What users ask for, as one operand.
    pub(crate) filter: Option<Expr>,
    /// Whether the cursor can be NULL.
    pub(crate) nullable_cursor: bool,
    pub(crate) ripe: Option<Expr>,
    pub(crate) seek: Seek,
    /// Whether nothing in the catalogue says that positions are unique.
    pub(crate) check_repeats: bool,
    /// Whether columns are compared as they are stored, as ORDER BY does, and not by their affinity: a compound
    /// query has no one affinity, and no index that this would keep from serving.
    pub(crate) as_stored: bool,
}

impl Keyset {
    /// The rows after a position, or the first ones, at most `limit`.
    pub(crate) fn statement(&self, after: Option<(&[Value], Seek)>, limit: u64) -> SelectStatement {
        match after {
            Some((after, Seek::TwoSteps)) => self.two_steps(after, limit),
            Some((after, Seek::RowValue)) => {
                self.checked(self.ordered(limit, self.order.len(), Some(self.after(after))))
            }
            None => {
                let condition = self.nullable_cursor.then(|| self.column(0).is_not_null());
                self.checked(self.ordered(limit, self.order.len(), condition))
            }
        }
    }

    /// How to seek a position. Two steps cost a copy of every row, so they are for a place among many ties, where
    /// a row value would walk them, and for one where nobody knows.
    pub(crate) fn seek(&self, place: Place) -> Seek {
        match place {
            Place::AmongTies if self.order.len() == 2 && !self.check_repeats => self.seek,
            _ => Seek::RowValue,
        }
    }

    /// The flags of the statement's rows; `None` seeks nothing.
    pub(crate) fn flags(&self, seek: Option<Seek>) -> Flags {
        Flags { ripe: self.ripe.is_some(), step: seek == Some(Seek::TwoSteps), above: self.check_repeats }
    }

    /// Whether a row that the filter lets through has NULL for its cursor: 1 or 0.
    pub(crate) fn null_cursor_probe(&self) -> SelectStatement {
        let mut inner = self.relation.select();
        inner.expr(Expr::val(1)).and_where(self.column(0).is_null()).and_where_option(self.filter.clone()).limit(1);
        Query::select().expr(Expr::exists(inner)).take()
    }

    /// How many rows that the filter lets through have NULL for their cursor.
    pub(crate) fn null_cursor_count(&self) -> SelectStatement {
        let mut select = self.relation.select();
        select.expr(Func::count(Expr::col(Asterisk)));
        select.and_where(self.column(0).is_null()).and_where_option(self.filter.clone()).take()
    }

    fn column(&self, index: usize) -> Expr {
        self.relation.column(&self.order[index])
    }

    /// A column as an operand of a comparison.
    fn compared(&self, column: Expr) -> Expr {
        if self.as_stored { Expr::cust_with_exprs("+?", [column]) } else { column }
    }

    fn after(&self, after: &[Value]) -> Expr {
        if let [only] = after {
            return self.compared(self.column(0)).gt(only.clone());
        }
        let columns = (0..self.order.len()).map(|index| self.compared(self.column(index)));
        Expr::tuple(columns).gt(Expr::tuple(after.iter().cloned().map(Expr::val)))
    }

    /// `SELECT columns, flags FROM relation WHERE condition AND filter ORDER BY the last `ordered` columns LIMIT`.
    fn ordered(&self, limit: u64, ordered: usize, condition: Option<Expr>) -> SelectStatement {
        let mut select = self.relation.select();
        for (index, name) in self.columns.iter().enumerate() {
            select.expr_as(self.relation.column(name), Alias::new(format!("{OWN}{index}")));
        }
        if let Some(ripe) = &self.ripe {
            select.expr_as(ripe.clone(), Alias::new(RIPE));
        }
        select.and_where_option(condition).and_where_option(self.filter.clone());
        for index in self.order.len() - ordered..self.order.len() {
            select.order_by_expr(self.column(index), Order::Asc);
        }
        select.limit(limit).take()
    }

    fn two_steps(&self, after: &[Value], limit: u64) -> SelectStatement {
        let (cursor, key) = (self.column(0), self.column(1));
        let ties = cursor.clone().eq(after[0].clone()).and(key.gt(after[1].clone()));
        let step = |number: i64, mut select: SelectStatement| {
            select.expr_as(Expr::cust(number.to_string()), Alias::new(STEP));
            Query::select().column(Asterisk).from_subquery(select, Alias::new(format!("step{number}"))).take()
        };
        let mut first = step(1, self.ordered(limit, 1, Some(ties)));
        let second = step(2, self.ordered(limit, 2, Some(cursor.gt(after[0].clone()))));
        first.union(UnionType::All, second).limit(limit).take()
    }

    /// Adds the flag by which the database says that a row repeats the position of the row before.
    fn checked(&self, inner: SelectStatement) -> SelectStatement {
        if !self.check_repeats {
            return inner;
        }
        let column = |alias: &str| Expr::col((Alias::new("p"), Alias::new(alias)));
        let mut select = Query::select();
        for index in 0..self.columns.len() {
            select.expr(column(&format!("{OWN}{index}")));
        }
        if self.ripe.is_some() {
            select.expr(column(RIPE));
        }
        let here: Vec<Expr> = self.order.iter().map(|name| self.compared(column(&self.alias(name)))).collect();
        let before = here.iter().map(|column| Expr::cust_with_exprs("LAG(?) OVER ()", [column.clone()]));
        let (here, before) = match &here[..] {
            [only] => (only.clone(), before.clone().next().unwrap_or_else(|| only.clone())),
            _ => (Expr::tuple(here.clone()), Expr::tuple(before)),
        };
        // The window has no order of its own: rows come as the inner statement sorted them. Were they not, it would
        // say so here as well.
        select.expr(here.gt(before));
        select.from_subquery(inner, Alias::new("p")).take()
    }

    /// What a selected column is called inside the statement.
    fn alias(&self, name: &str) -> String {
        let place = self.columns.iter().position(|column| **column == *name);
        format!("{OWN}{}", place.unwrap_or_default())
    }
}

/// What names inside of a statement begin with. SQLite lets conditions use them, so none may be a name that a filter
/// has by mistake.
const OWN: &str = "highwater.";
const RIPE: &str = "highwater.ripe";
const STEP: &str = "highwater.step";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Dialect;

    fn orders() -> Keyset {
        Keyset {
            relation: Relation::Table { schema: None, name: "orders".into() },
            columns: vec!["id".into(), "u".into()],
            order: vec!["u".into(), "id".into()],
            filter: None,
            nullable_cursor: true,
            ripe: None,
            seek: Seek::RowValue,
            check_repeats: false,
            as_stored: false,
        }
    }

    fn sql(keyset: &Keyset, after: bool) -> String {
        let values = [Value::from(1), Value::from(2)];
        let seek = keyset.seek(Place::AmongTies);
        Dialect::Sqlite.render(&keyset.statement(after.then_some((&values, seek)), 3)).unwrap().0
    }

    const SELECT: &str = r#"SELECT "orders"."id" AS "highwater.0", "orders"."u" AS "highwater.1" FROM "orders""#;
    const ORDER: &str = r#"ORDER BY "orders"."u" ASC, "orders"."id" ASC LIMIT ?"#;

    #[test]
    fn columns_are_qualified_and_compared_as_a_row() {
        let expected = format!(r#"{SELECT} WHERE ("orders"."u", "orders"."id") > (?, ?) {ORDER}"#);
        assert_eq!(sql(&orders(), true), expected);
        assert_eq!(sql(&orders(), false), format!(r#"{SELECT} WHERE "orders"."u" IS NOT NULL {ORDER}"#));
    }

    #[test]
    fn two_steps_are_one_statement() {
        let keyset = Keyset { seek: Seek::TwoSteps, ..orders() };
        let select = SELECT.replace(" FROM", r#", 1 AS "highwater.step" FROM"#);
        let second = select.replace("1 AS", "2 AS");
        let expected = format!(
            concat!(
                r#"SELECT * FROM ({select} WHERE "orders"."u" = ? AND "orders"."id" > ? "#,
                r#"ORDER BY "orders"."id" ASC LIMIT ?) AS "step1" UNION ALL SELECT * FROM ({second} WHERE "#,
                r#""orders"."u" > ? {order}) AS "step2" LIMIT ?"#
            ),
            select = select,
            second = second,
            order = ORDER
        );
        assert_eq!(sql(&keyset, true), expected);
        assert_eq!(sql(&keyset, false), sql(&orders(), false));
        assert_eq!(keyset.seek(Place::Apart), Seek::RowValue);
    }
}
