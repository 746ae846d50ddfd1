//! Filters and queries in users' words.

use highwater::sea_query::{Condition, Expr, ExprTrait as _, Query};
use highwater::sources::{HasCursor, HasKey};
use highwater::{Error, ErrorKind, QuerySource, RawRecord, Source, Sqlite, TableSource, sql_filter};
use proptest::prelude::*;

use crate::support::{Shop, drain, fetch, ids, shown};

async fn shop() -> Shop {
    Shop::new(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, region TEXT, version INT NOT NULL);
         CREATE INDEX changes ON orders (version, id);
         INSERT INTO orders VALUES (1, 'paid', 'eu', 1), (2, 'new', 'eu', 1), (3, 'paid', 'us', 2),
                                   (4, 'it''s', 'eu', 3), (5, 'paid', 'eu', 4)",
    )
    .await
}

#[tokio::test]
async fn filters_of_every_form_select_the_same_rows() {
    let shop = shop().await;
    let table = || shop.db.table("orders").cursor("version").key(["id"]);
    let paid = Expr::col("status").eq("paid");
    let sources = [
        table().filter(sql_filter("status = :s").param("s", "paid")),
        table().filter(sql_filter("orders.status = :s AND :s = status -- comment").param("s", "paid")),
        table().filter(paid.clone()),
        table().filter(Condition::any().add(paid.clone()).add(Expr::cust("1 = 0 /* OR 1 = 1 */"))),
        table().filter(Expr::cust("status = 'paid' OR 1 = 0")),
    ];
    for source in sources {
        for sizes in [&[1][..], &[2], &[10]] {
            assert_eq!(ids(&drain(&source, sizes).await.unwrap()), [1, 3, 5]);
        }
    }
    let both = table().filter(paid).filter(sql_filter("region = :r OR 1 = 0").param("r", "eu"));
    assert_eq!(ids(&drain(&both, &[1]).await.unwrap()), [1, 5]);
    let quoted = table().filter(sql_filter("status = :s").param("s", "it's"));
    assert_eq!(ids(&drain(&quoted, &[1]).await.unwrap()), [4]);
}

#[tokio::test]
async fn queries_are_wrapped_as_one() {
    let shop = shop().await;
    let db = &shop.db;
    let select =
        Query::select().columns(["id", "version"]).from("orders").and_where(Expr::col("region").eq("eu")).take();
    let sql = "SELECT id, version FROM orders WHERE region = :r ORDER BY id DESC -- all; ); of them";
    let with = "WITH q AS (SELECT * FROM orders) SELECT id, version FROM q WHERE region = 'eu' LIMIT 100;";
    let sources = [db.query(select), db.query_sql(sql).param("r", "eu"), db.query_sql(with)];
    for source in sources {
        let source = source.cursor("version").key(["id"]);
        for sizes in [&[1][..], &[2], &[10]] {
            assert_eq!(ids(&drain(&source, sizes).await.unwrap()), [1, 2, 4, 5]);
        }
    }
}

#[tokio::test]
async fn a_lock_that_the_dialect_would_drop_is_refused() {
    let db = &shop().await.db;
    let mut select = Query::select().columns(["id", "version"]).from("orders").take();
    select.lock(highwater::sea_query::LockType::Update);
    let nested = Query::select().columns(["id", "version"]).from_subquery(select.clone(), "o").take();
    for select in [select, nested] {
        let error = db.query(select).cursor("version").key(["id"]).validate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("row locks"), "{error}");
    }
}

/// A checkpoint is refused when these texts change: an upgrade that changes one must canonicalise it away.
#[tokio::test]
async fn the_canonical_texts_of_fingerprints_are_pinned() {
    let db = &shop().await.db;
    let filter = Condition::any()
        .add(Expr::col("status").eq("paid").and(Expr::col("version").gt(3)))
        .add(Expr::col(("orders", "region")).is_in(["eu", "us"]))
        .add(Expr::col("status").is_null().not());
    let table = db
        .table("orders")
        .columns(["id", "a, b"])
        .cursor("version")
        .key(["id"])
        .filter(filter)
        .filter(sql_filter("region  =  :r -- of users").param("r", "eu"));
    let select =
        Query::select().columns(["id", "version"]).from("orders").and_where(Expr::col("region").eq("eu")).take();
    let query = db.query(select).cursor("version").key(["id"]);

    let parts = |fingerprint: &highwater::Fingerprint| {
        let sealed = fingerprint.seal("salt");
        let shown = sealed.parts().filter(|(name, _)| !["database", "salt"].contains(name));
        shown.map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(parts(table.descriptor().fingerprint()), TABLE);
    assert_eq!(parts(query.descriptor().fingerprint()), QUERY);
}

const TABLE: &str = "\
columns: id, `a, b`
cursor: version
filter: ( status = ? and version > ? ) or orders . region in ( ? , ? ) or ( not status is null )
filter.1: region = :r
key: id
mode: table
operation: upsert
parameter.1: 820ceadb50ef0ce70fe75c54ad661ee76d8ed3b7fa75e28edb6489a0fc9ac13b
parameter.2: 36caebc706a2a3b50b76d72ca1ef2d1a9a38fecfc9dd4d13f1102236b16fc1e5
parameter.3: 07b739cebde10e66cc640e133729c812696c927d754770be35b1908de428c87c
parameter.4: 2429117072f1f43a34aacf33fec6c6c475ee3f6d1fef6a0f28ca9a9eb232d395
parameter.r.1: 7ed48620356ecfc485ed793ac25a4fa1b8472dbd74160be65d8bcf951454aa3a
schema: main
table: orders";
const QUERY: &str = "\
cursor: version
key: id
mode: query
operation: upsert
parameter.1: ac6b8dd694ed58c5d1d66aaba72c0d4eae6d50941824a5b909c7ce99d5da4dce
query: select id , version from orders where region = ?";

fn refused(outcome: Result<Vec<RawRecord>, Error>, text: &str) {
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Configuration, "{text}");
}

#[tokio::test]
async fn what_is_no_single_operand_is_refused_before_it_runs() {
    let shop = shop().await;
    let db = &shop.db;
    let table = |text: &str| db.table("orders").cursor("version").key(["id"]).filter(sql_filter(text));
    let query = |text: &str| db.query_sql(text).cursor("version").key(["id"]);
    for text in ["1) OR (1", "1; DELETE FROM orders", "status = 'x", "status = :s", "1 /* open", "", "::x(')"] {
        refused(fetch(&table(text), None, 1).await, text);
        assert_eq!(table(text).validate().await.unwrap_err().kind(), ErrorKind::Configuration);
    }
    for text in ["orders", "DELETE FROM orders", "SELECT 1) AS q, (SELECT 2", "SELECT 1; SELECT 2", "SELECT ?"] {
        refused(fetch(&query(text), None, 1).await, text);
    }
    let unused = db.query(Query::select().columns(["id", "version"]).from("orders").take()).param("r", 1);
    refused(fetch(&unused.cursor("version").key(["id"]), None, 1).await, "param");
    let large = table("1").filter(Expr::col("id").lt(u64::MAX));
    refused(fetch(&large, None, 1).await, "u64");
    let open = table("1").filter(Expr::cust("1) OR (1"));
    refused(fetch(&open, None, 1).await, "custom");
    // The comment would swallow the parenthesis that sea-query puts behind it.
    let comment = table("1").filter(Condition::any().add(Expr::cust("0 --")).add(Expr::cust("1")));
    refused(fetch(&comment, None, 1).await, "comment");
    assert_eq!(shop.integers("SELECT count(*) FROM orders").await, [5]);
}

#[tokio::test]
async fn a_misspelt_column_is_an_error_and_no_literal() {
    let shop = shop().await;
    let table = shop.db.table("orders").cursor("version").key(["id"]).filter(Expr::col("statsu").ne("paid"));
    let error = table.validate().await.unwrap_err();
    assert!(shown(&error).contains("no such column: statsu"), "{}", shown(&error));
    // What this crate calls columns inside of its statements is no column of the table.
    for text in ["c0 = 1", "ripe = 1", "step = 1"] {
        let table = shop.db.table("orders").cursor("version").key(["id"]).lag(std::time::Duration::from_secs(1));
        let error = table.filter(sql_filter(text)).validate().await.unwrap_err();
        assert!(shown(&error).contains("no such column"), "{text}: {}", shown(&error));
    }
    let query = Query::select().columns(["id", "versoin"]).from("orders").take();
    let error = shop.db.query(query).cursor("versoin").key(["id"]).validate().await.unwrap_err();
    assert!(shown(&error).contains("no such column: versoin"), "{}", shown(&error));
}

fn digest<C: HasCursor, K: HasKey>(source: &TableSource<Sqlite, C, K>) -> String {
    source.descriptor().fingerprint().seal("salt").digest()
}

#[tokio::test]
async fn fingerprints_follow_meaning_and_not_spelling() {
    let shop = shop().await;
    let table = || shop.db.table("orders").cursor("version").key(["id"]);
    let filtered = |text: &str, value: &str| digest(&table().filter(sql_filter(text).param("s", value)));
    let plain = filtered("status = :s", "paid");
    assert_eq!(plain, filtered("  \"status\"=:s -- paid ones", "paid"));
    assert_ne!(plain, filtered("status = :s", "new"));
    assert_ne!(plain, digest(&table()));
    assert_ne!(digest(&table()), digest(&table().insert_only()));
    assert_ne!(digest(&table()), digest(&table().columns(["id"])));
    assert_ne!(digest(&table()), digest(&table().deleted_when("status")));
    assert_eq!(digest(&table()), digest(&table().lag(std::time::Duration::from_secs(1)).named("other")));
    assert_eq!(digest(&table()), digest(&table().schema("main")));

    let query = |source: QuerySource<Sqlite>| source.cursor("version").key(["id"]).descriptor().clone();
    let of = |text: &str| query(shop.db.query_sql(text)).fingerprint().seal("salt");
    assert_eq!(of("SELECT * FROM orders").digest(), of("select *\nfrom [orders]").digest());
    assert_eq!(
        of("SELECT id FROM orders").differences(&of("SELECT * FROM orders")),
        ["query was `select id from orders`, is `select * from orders`"]
    );
}

/// Texts made of what matters to a parser, in any order.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "'",
        "\"",
        "`",
        "[",
        "]",
        "(",
        ")",
        "--",
        "/*",
        "*/",
        "\n",
        ";",
        ":a",
        "::",
        "?",
        "$x",
        "@x",
        "#",
        "\\",
        "''",
        "\"\"",
        " OR ",
        " AND ",
        "1",
        "0",
        "1=1",
        "id",
        "'x'",
        "\"id\"",
        "[id]",
        " UNION SELECT 1",
        "NOT ",
        ",",
        "=",
        "-",
        "/",
        "*",
        "x'00'",
        "\u{0}",
        "\u{feff}",
        "é",
        "\u{c}",
        "\r",
        "LIMIT 1",
        " IN ",
        "SELECT ",
        "EXISTS",
        "CASE WHEN 1 THEN ",
        " END ",
    ]);
    prop_oneof![4 => prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), 1 => ".{0,20}"]
}

#[test]
fn any_filter_text_is_refused_or_stays_one_operand() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = runtime.block_on(shop());
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    let accepted = std::cell::Cell::new(0);
    proptest!(config, |(text in hostile())| {
        let found = runtime.block_on(async {
            let table = shop.db.table("orders").cursor("version").key(["id"]);
            let mut filter = sql_filter(&*text);
            if text.contains(":a") {
                filter = filter.param("a", 1);
            }
            // A second operand: no row outside of it may ever come.
            let source = table.filter(Expr::col("region").eq("us")).filter(filter);
            fetch(&source, None, 100).await
        });
        if let Ok(records) = found {
            accepted.set(accepted.get() + 1);
            prop_assert!(records.iter().all(|record| record.row.get("region").unwrap().as_str() == Some("us")));
        }
        prop_assert_eq!(runtime.block_on(shop.integers("SELECT count(*) FROM orders")), [5]);
    });
    assert!(accepted.get() > 20, "the generator makes too little that runs: {}", accepted.get());
}

#[test]
fn any_query_text_is_refused_or_stays_a_subquery() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = runtime.block_on(shop());
    let whole = shop.db.query_sql("SELECT * FROM orders").cursor("version").key(["id"]);
    let after = runtime.block_on(fetch(&whole, None, 3)).unwrap().pop().unwrap().position;
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let accepted = std::cell::Cell::new(0);
    proptest!(config, |(text in hostile())| {
        let mut source = shop.db.query_sql(format!("SELECT * FROM orders {text}"));
        if text.contains(":a") {
            source = source.param("a", 1);
        }
        if let Ok(records) = runtime.block_on(fetch(&source.cursor("version").key(["id"]), Some(&after), 100)) {
            accepted.set(accepted.get() + 1);
            prop_assert!(ids(&records).iter().all(|id| [4, 5].contains(id)), "{:?}", ids(&records));
        }
        prop_assert_eq!(runtime.block_on(shop.integers("SELECT count(*) FROM orders")), [5]);
    });
    assert!(accepted.get() > 10, "the generator makes too little that runs: {}", accepted.get());
}
