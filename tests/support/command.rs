//! What the suites of the command line share: a folder with a database and a state folder, and processes in it.

#![allow(dead_code, reason = "each suite uses a part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use highwater::{Database, Sqlite, StateDocument};
use serde_json::Value;

/// A folder of its own with `shop.db` and `state/`.
pub(crate) struct Shop {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    db: Database<Sqlite>,
}

impl Shop {
    /// A shop whose orders have a version and an id.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("shop.db").display());
        let db = runtime.block_on(Database::connect(&url)).unwrap();
        let shop = Self { folder, runtime, db };
        shop.sql("PRAGMA journal_mode = WAL");
        shop.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL UNIQUE, status TEXT)");
        shop.sql("CREATE UNIQUE INDEX orders_by_version ON orders (version, id)");
        shop
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.runtime.block_on(self.db.execute(sql)).unwrap();
    }

    /// Adds orders, their version the id.
    pub(crate) fn add(&self, ids: std::ops::RangeInclusive<u64>) {
        let rows: Vec<String> = ids.map(|id| format!("({id}, {id}, 'new')")).collect();
        self.sql(&format!("INSERT INTO orders VALUES {}", rows.join(", ")));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path("shop.db").display())
    }

    pub(crate) fn state_url(&self) -> String {
        format!("file://{}", self.path("state").display())
    }

    /// `highwater` with arguments, in an environment without settings of the user's.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for name in ["HIGHWATER_LOG", "RUST_LOG", "HIGHWATER_URL", "HIGHWATER_CHECKPOINTS"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// `highwater tail` of the orders under a name.
    pub(crate) fn tail(&self, name: &str, args: &[&str]) -> Command {
        let (url, state) = (self.url(), self.state_url());
        let mut command = self.command(&["tail", "--url", &url, "--checkpoints", &state, "--name", name]);
        command.args(["--table", "orders", "--cursor", "version", "--key", "id"]).args(args);
        command
    }

    /// `highwater checkpoint` of a poller.
    pub(crate) fn checkpoint(&self, verb: &str, name: &str, args: &[&str]) -> Command {
        let state = self.state_url();
        let mut command = self.command(&["checkpoint", verb, "--checkpoints", &state, "--name", name]);
        command.args(args);
        command
    }

    /// The state document as it stands; a torn one is a failure.
    pub(crate) fn document(&self, name: &str) -> Option<StateDocument> {
        let path = self.path("state").join(format!("{name}.json"));
        match std::fs::read(&path) {
            Ok(bytes) => Some(StateDocument::from_json(&bytes).expect("a document is never torn")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// What a finished process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// stdout's lines, each of which has to be a whole change.
    pub(crate) fn changes(&self) -> Vec<Value> {
        changes(&self.stdout)
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.changes().iter().map(id).collect()
    }

    /// The one line of a failure.
    #[track_caller]
    pub(crate) fn failure(&self, status: i32) -> &str {
        assert_eq!(self.status, status, "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("highwater: ")).collect();
        assert_eq!(lines.len(), 1, "one line says why: {self:?}");
        lines[0]
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Said {
    said(command.output().unwrap())
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whole lines of changes; each has exactly the fields that it should have.
pub(crate) fn changes(text: &str) -> Vec<Value> {
    let whole = |line: &str| {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let fields: Vec<&str> = change.as_object().unwrap().keys().map(String::as_str).collect();
        // serde_json's map sorts.
        assert_eq!(fields, ["after", "before", "cursor", "event_id", "metadata", "op", "pk", "source"]);
        change
    };
    text.lines().map(whole).collect()
}

pub(crate) fn id(change: &Value) -> u64 {
    change["pk"]["id"].as_u64().unwrap()
}

/// A process that doesn't outlive its test; stdout and stderr go to files.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
}

impl Running {
    pub(crate) fn start(command: &mut Command, stdout: PathBuf) -> Self {
        let stderr = stdout.with_extension("err");
        let child = command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Self { child: child.spawn().unwrap(), stdout, stderr }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal("-TERM");
        self.wait()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn wait(&mut self) -> i32 {
        let mut status = None;
        until(Duration::from_secs(40), "the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap_or(-1)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A seed, from `HIGHWATER_TEST_SEED` or the clock; printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HIGHWATER_TEST_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() % 1_000_000_007).unwrap()
    });
    eprintln!("HIGHWATER_TEST_SEED={seed}");
    seed
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
