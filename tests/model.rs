//! Random histories of a table and two pollers, against a model of what was promised.
//!
//! Writers obey the condition under which nothing may be lost: each row they write stands above all that are visible.
//! Everything else is left to chance: ties, composite keys, every storage class, NULLs, failing and panicking
//! handlers, ticks that are dropped or paused at any await, takeovers, replies of the store that never come.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use highwater::testing::{Fault, FaultyStore};
use highwater::{
    Batch, CheckpointStore, Database, Ending, Error, Exact, HandlerError, LeaseSettings, NullPolicy, ObjectCheckpoints,
    PollContext, Poller, PollerName, Position, RowChange, Sqlite, StateDocument, TickReport,
};
use proptest::prelude::*;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use support::FastClock;

/// A kind of table: its columns, and cursor values in the order in which SQLite has them.
struct Kind {
    ddl: &'static str,
    key: &'static [&'static str],
    /// The key of the n-th row; ascending.
    key_of: fn(i64) -> Vec<Exact>,
    cursors: fn() -> Vec<Exact>,
}

fn text(text: impl Into<String>) -> Exact {
    Exact::Text(text.into())
}

/// Every storage class in one column, integers that doubles can't hold, and the key an alias of the rowid.
const MIXED: Kind = Kind {
    ddl: "CREATE TABLE t (id INTEGER PRIMARY KEY, c, v INTEGER NOT NULL)",
    key: &["id"],
    key_of: |n| vec![Exact::Integer(n)],
    cursors: || {
        let mut cursors = vec![
            Exact::Real(f64::NEG_INFINITY),
            Exact::Integer(i64::MIN),
            Exact::Real(-0.5),
            Exact::Integer(0),
            Exact::Real(0.1),
            Exact::Real(0.1 + f64::EPSILON),
            Exact::Integer(1),
            Exact::Integer(9_007_199_254_740_992),
            Exact::Integer(9_007_199_254_740_993),
            Exact::Integer(i64::MAX),
            Exact::Real(1e300),
        ];
        cursors.extend(["", "10", "9", "B", "a", "ß", "\u{1F980}"].map(text));
        cursors.extend([vec![], vec![0], vec![0, 0], vec![255]].map(Exact::Blob));
        cursors
    },
};

/// Timestamps as text, in formats that only bytes order, and a key of two columns.
const TIMES: Kind = Kind {
    ddl: "CREATE TABLE t (tenant TEXT NOT NULL, id INTEGER NOT NULL, c TEXT, v INTEGER NOT NULL, \
          PRIMARY KEY (tenant, id))",
    key: &["tenant", "id"],
    key_of: |n| vec![text(format!("tenant {:03}", n / 3)), Exact::Integer(n)],
    cursors: || {
        let seconds = (0..12).map(|n| text(format!("2026-01-01 00:00:{n:02}")));
        let others = ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.5Z", "2026-01-02", "9", "tomorrow"];
        seconds.chain(others.map(text)).collect()
    },
};

/// Reals, and numeric strings as the key.
const REALS: Kind = Kind {
    ddl: "CREATE TABLE t (code TEXT NOT NULL UNIQUE, c REAL, v INTEGER NOT NULL)",
    key: &["code"],
    key_of: |n| vec![text(format!("{n:03}"))],
    cursors: || (0..20_u32).map(|n| Exact::Real(f64::from(n) * 0.1)).collect(),
};

/// Blobs as key, no unique index: the database itself looks for repeats.
const BLOBS: Kind = Kind {
    ddl: "CREATE TABLE t (tag BLOB NOT NULL, c INTEGER, v INTEGER NOT NULL)",
    key: &["tag"],
    key_of: |n| vec![Exact::Blob(n.to_be_bytes().to_vec())],
    cursors: || (0..20).map(|n| Exact::Integer(9_007_199_254_740_990 + n)).collect(),
};

const KINDS: [Kind; 4] = [MIXED, TIMES, REALS, BLOBS];

#[derive(Clone, Copy, Debug)]
enum Op {
    /// New rows, each `advance` cursor values above the highest.
    Insert {
        rows: usize,
        advance: usize,
    },
    /// A row changes and moves above the highest.
    Update {
        pick: usize,
        advance: usize,
    },
    InsertNull,
    Tick {
        owner: usize,
        batches: u32,
        size: u32,
        handler: HandlerDoes,
    },
    /// A tick is dropped after so many polls.
    Crash {
        owner: usize,
        polls: usize,
    },
    /// A tick is left alone after so many polls, and later goes on, perhaps past its lease.
    Pause {
        owner: usize,
        polls: usize,
    },
    Resume {
        owner: usize,
    },
    /// Time passes, so that a lease nobody renews has expired.
    Expire,
    Fault(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum HandlerDoes {
    Succeed,
    Fail,
    Panic,
}

fn op() -> impl Strategy<Value = Op> {
    let owner = 0..2_usize;
    let handler = prop_oneof![
        6 => Just(HandlerDoes::Succeed),
        1 => Just(HandlerDoes::Fail),
        1 => Just(HandlerDoes::Panic),
    ];
    let fault = prop_oneof![
        Just(Fault::FailBefore),
        Just(Fault::FailAfter),
        Just(Fault::LandLate),
        Just(Fault::Refuse),
        Just(Fault::Forbid),
        Just(Fault::Hang),
        Just(Fault::HangAfter),
    ];
    prop_oneof![
        6 => (1..6_usize, 0..3_usize).prop_map(|(rows, advance)| Op::Insert { rows, advance }),
        4 => (any::<usize>(), 0..2_usize).prop_map(|(pick, advance)| Op::Update { pick, advance }),
        1 => Just(Op::InsertNull),
        8 => (owner.clone(), 1..4_u32, 1..5_u32, handler)
            .prop_map(|(owner, batches, size, handler)| Op::Tick { owner, batches, size, handler }),
        3 => (owner.clone(), 1..60_usize).prop_map(|(owner, polls)| Op::Crash { owner, polls }),
        3 => (owner.clone(), 1..60_usize).prop_map(|(owner, polls)| Op::Pause { owner, polls }),
        3 => owner.prop_map(|owner| Op::Resume { owner }),
        3 => Just(Op::Expire),
        2 => fault.prop_map(Op::Fault),
    ]
}

/// What a row's position is to the model: the index of its cursor value, and the number of its key.
type Place = (usize, i64);

/// What the writers wrote, and what was promised of it.
struct Model {
    kind: &'static Kind,
    cursors: Vec<Exact>,
    /// Each row's number, with its place and version as they are now.
    rows: BTreeMap<i64, (Place, i64)>,
    top: usize,
    next: i64,
    version: i64,
    nulls: usize,
    /// Versions that a handler took and answered with success.
    handled: BTreeSet<i64>,
    deliveries: Vec<i64>,
    checkpoint: Option<Place>,
    token: u64,
    troubled: bool,
}

impl Model {
    fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            cursors: (kind.cursors)(),
            rows: BTreeMap::new(),
            top: 0,
            next: 0,
            version: 0,
            nulls: 0,
            handled: BTreeSet::new(),
            deliveries: Vec::new(),
            checkpoint: None,
            token: 0,
            troubled: false,
        }
    }

    fn place(&self, position: &Position) -> Place {
        let keyset = position.as_keyset().expect("a keyset");
        let cursor =
            self.cursors.iter().position(|cursor| cursor == keyset.cursor()).expect("a value that was written");
        let number = (0..self.next).find(|n| (self.kind.key_of)(*n) == keyset.key()).expect("a key that was written");
        (cursor, number)
    }

    /// The rows at or below the checkpoint were acknowledged; it never goes back, and tokens never fall.
    fn check(&mut self, document: &StateDocument) {
        let now = document.position().map(|position| self.place(position));
        assert!(now >= self.checkpoint, "the checkpoint went back from {:?} to {now:?}", self.checkpoint);
        assert!(document.fencing_token() >= self.token, "the token fell");
        (self.checkpoint, self.token) = (now, document.fencing_token());
        for (place, version) in self.rows.values() {
            let acknowledged = self.handled.contains(version);
            assert!(Some(*place) > now || acknowledged, "a row at {place:?} is lost behind {now:?}");
        }
    }
}

/// A tick under way.
type Tick = Pin<Box<dyn Future<Output = Result<TickReport, Error>>>>;

/// The world of one history.
struct World {
    model: Arc<Mutex<Model>>,
    db: Database<Sqlite>,
    store: Arc<FaultyStore<ObjectCheckpoints>>,
    clock: FastClock,
    paused: [Option<Tick>; 2],
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(kind: &'static Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("t.db"))
            .create_if_missing(true)
            .pragma("journal_mode", "wal")
            .synchronous(SqliteSynchronous::Off);
        let pool = SqlitePoolOptions::new().max_connections(6).connect_with(options).await.unwrap();
        let db = Database::<Sqlite>::from_pool(pool);
        db.execute(kind.ddl).await.unwrap();
        let clock = FastClock::new();
        let store = Arc::new(FaultyStore::new(ObjectCheckpoints::memory(), Arc::new(clock.clone())));
        let model = Arc::new(Mutex::new(Model::new(kind)));
        Self { model, db, store, clock, paused: [None, None], _folder: folder }
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Insert { rows, advance } => {
                for _ in 0..rows {
                    self.write(None, advance).await;
                }
            }
            Op::Update { pick, advance } => {
                let row = {
                    let model = self.model.lock().unwrap();
                    let rows = model.rows.len();
                    model.rows.keys().nth(pick.checked_rem(rows).unwrap_or(0)).copied()
                };
                if row.is_some() {
                    self.write(row, advance).await;
                }
            }
            Op::InsertNull => self.write_null().await,
            Op::Tick { owner, batches, size, handler } => {
                self.paused[owner] = None;
                let outcome = self.tick(batches, size, handler).await;
                self.model.lock().unwrap().troubled |= outcome.is_err();
            }
            Op::Crash { owner, polls } => {
                self.paused[owner] = None;
                drop(some_polls(self.tick(3, 2, HandlerDoes::Succeed), polls).await);
                self.model.lock().unwrap().troubled = true;
            }
            Op::Pause { owner, polls } => {
                self.paused[owner] = some_polls(self.tick(3, 2, HandlerDoes::Succeed), polls).await;
                self.model.lock().unwrap().troubled = true;
            }
            Op::Resume { owner } => {
                if let Some(tick) = self.paused[owner].take() {
                    drop(tick.await);
                }
            }
            Op::Expire => self.clock.jump(LEASE.lease_ttl() * 2),
            Op::Fault(fault) => {
                self.store.fail_writes([fault]);
                self.model.lock().unwrap().troubled = true;
            }
        }
        if let Some(document) = self.document().await {
            self.model.lock().unwrap().check(&document);
        }
    }

    /// A row is written above all that are visible: the condition under which nothing may be lost.
    async fn write(&self, row: Option<i64>, advance: usize) {
        let (statement, binds) = {
            let mut model = self.model.lock().unwrap();
            model.top = (model.top + advance).min(model.cursors.len() - 1);
            model.version += 1;
            let highest_at_top = model.rows.values().filter(|row| row.0.0 == model.top).map(|row| row.0.1).max();
            // An update keeps its key, so it needs a cursor value that no higher key has.
            if row.is_some_and(|row| highest_at_top.is_some_and(|highest| highest >= row)) {
                model.top += 1;
                if model.top == model.cursors.len() {
                    model.top -= 1;
                    return;
                }
            }
            let number = row.unwrap_or(model.next);
            model.next = model.next.max(number + 1);
            let (place, version) = ((model.top, number), model.version);
            model.rows.insert(number, (place, version));
            let kind = model.kind;
            let mut binds = vec![model.cursors[place.0].clone(), Exact::Integer(version)];
            binds.extend((kind.key_of)(number));
            let statement = if row.is_some() {
                let key: Vec<String> = kind.key.iter().map(|column| format!("{column} = ?")).collect();
                format!("UPDATE t SET c = ?, v = ? WHERE {}", key.join(" AND "))
            } else {
                let marks = vec!["?"; binds.len()].join(", ");
                format!("INSERT INTO t (c, v, {}) VALUES ({marks})", kind.key.join(", "))
            };
            (statement, binds)
        };
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
        for bind in binds {
            query = match bind {
                Exact::Integer(number) => query.bind(number),
                Exact::Real(number) => query.bind(number),
                Exact::Text(text) => query.bind(text),
                Exact::Blob(bytes) => query.bind(bytes),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(query.execute(self.db.pool()).await.unwrap().rows_affected(), 1);
    }

    /// A row that stands nowhere, and is skipped.
    async fn write_null(&self) {
        let (number, kind) = {
            let mut model = self.model.lock().unwrap();
            model.nulls += 1;
            (1_000_000 + i64::try_from(model.nulls).unwrap(), model.kind)
        };
        let key: Vec<String> = (kind.key_of)(number).iter().map(literal).collect();
        let statement = format!("INSERT INTO t (c, v, {}) VALUES (NULL, -1, {})", kind.key.join(", "), key.join(", "));
        self.db.execute(&statement).await.unwrap();
    }

    /// A tick of a new poller, as another process would make it.
    fn tick(&self, batches: u32, size: u32, does: HandlerDoes) -> Tick {
        let kind = self.model.lock().unwrap().kind;
        let table = self.db.table("t").cursor("c").nulls(NullPolicy::Skip);
        let model = Arc::clone(&self.model);
        let handler = async move |batch: Batch, ctx: &PollContext| {
            tokio::task::yield_now().await;
            let versions: Vec<i64> = batch.changes().map(version).collect();
            look(&model.lock().unwrap(), &batch, ctx);
            match does {
                HandlerDoes::Succeed => {}
                HandlerDoes::Fail => return Err(HandlerError::from("it failed")),
                HandlerDoes::Panic => std::panic::panic_any(Planned),
            }
            tokio::task::yield_now().await;
            let mut model = model.lock().unwrap();
            model.handled.extend(&versions);
            model.deliveries.extend(versions);
            Ok(())
        };
        let (store, clock) = (Arc::clone(&self.store), self.clock.clone());
        macro_rules! run {
            ($source:expr) => {
                Box::pin(async move {
                    let poller = Poller::builder("t")
                        .source($source)
                        .checkpoints(store)
                        .clock(clock)
                        .lease_ttl(LEASE.lease_ttl())
                        .batch_size(size)
                        .max_batches_per_tick(batches)
                        .handler(handler)
                        .build();
                    poller.tick().await
                })
            };
        }
        match *kind.key {
            [one] => run!(table.key([one])),
            [one, two] => run!(table.key([one, two])),
            _ => unreachable!(),
        }
    }

    async fn document(&self) -> Option<StateDocument> {
        let stored = self.store.inner().load(&PollerName::new("t").unwrap()).await.unwrap()?;
        Some(StateDocument::from_json(&stored.bytes).expect("a whole document"))
    }

    /// A healthy owner handles what is left; then every row was delivered as it is now.
    async fn drain(&mut self) {
        self.paused = [None, None];
        self.store.heal();
        self.clock.jump(LEASE.lease_ttl() * 2);
        for _ in 0..1000 {
            match self.tick(10, 7, HandlerDoes::Succeed).await {
                Ok(report) if report.ending() == Ending::Drained => break,
                Ok(_) => {}
                // A write that was lost earlier may land in the middle; a slow machine may lose a lease of its own.
                Err(error) => assert!(!error.to_string().contains("row"), "{error}"),
            }
            self.clock.jump(LEASE.lease_ttl() * 2);
        }
        let document = self.document().await;
        let mut model = self.model.lock().unwrap();
        if let Some(document) = document {
            model.check(&document);
        }
        for (place, version) in model.rows.values() {
            assert!(model.handled.contains(version), "the row at {place:?} never came");
        }
        let once: BTreeSet<i64> = model.deliveries.iter().copied().collect();
        assert!(model.troubled || once.len() == model.deliveries.len(), "a row came twice without a cause");
    }
}

fn look(model: &Model, batch: &Batch, ctx: &PollContext) {
    let places: Vec<Place> = batch.changes().map(|change| model.place(change.position())).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "out of order: {places:?}");
    let after = ctx.checkpoint().map(|position| model.place(position));
    assert!(places.first().copied() > after, "{places:?} is not above {after:?}");
    assert_eq!(ctx.candidate().map(|position| model.place(position)), places.last().copied());
}

fn version(change: &RowChange) -> i64 {
    change.row().get("v").and_then(highwater::Value::as_i64).expect("a version")
}

fn literal(value: &Exact) -> String {
    match value {
        Exact::Integer(number) => number.to_string(),
        Exact::Text(text) => format!("'{text}'"),
        Exact::Blob(bytes) => {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{}'", hex.concat())
        }
        other => panic!("{other:?}"),
    }
}

/// Polls a future so many times, then returns it, unless it is done.
async fn some_polls<F: Future + Unpin>(mut future: F, polls: usize) -> Option<F> {
    let mut left = polls;
    let done = std::future::poll_fn(|cx: &mut Context<'_>| {
        if Pin::new(&mut future).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        left -= 1;
        if left == 0 { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    (!done).then_some(future)
}

static LEASE: std::sync::LazyLock<LeaseSettings> =
    std::sync::LazyLock::new(|| LeaseSettings::default().ttl(Duration::from_secs(60)));

/// A panic that is part of a history: not worth a message.
struct Planned;

fn silence_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Planned>() {
                hook(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn under_the_condition_nothing_is_lost(kind in 0..KINDS.len(), ops in prop::collection::vec(op(), 1..40)) {
        silence_planned_panics();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(&KINDS[kind]).await;
            for op in ops {
                world.run(op).await;
            }
            world.drain().await;
        });
    }
}
