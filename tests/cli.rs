//! The command line: every command, every exit status, and what bad input says.

#[path = "support/command.rs"]
mod command;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use command::{Running, Said, Shop, id, run, said, until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn once(shop: &Shop, args: &[&str]) -> Said {
    run(shop.tail("orders", &["--once"]).args(args))
}

fn shown(shop: &Shop, name: &str) -> Value {
    let shown = run(&mut shop.checkpoint("show", name, &["--json"]));
    assert_eq!(shown.status, 0, "{shown:?}");
    serde_json::from_str(&shown.stdout).unwrap()
}

#[test]
fn once_prints_all_that_is_there_and_the_next_run_only_what_is_new() {
    let shop = Shop::new();
    shop.add(1..=25);
    let first = once(&shop, &["--batch-size", "10"]);
    assert_eq!((first.status, first.ids()), (0, (1..=25).collect()), "{first:?}");
    let change = &first.changes()[0];
    assert_eq!((&change["op"], &change["source"], &change["cursor"]), (&json!("upsert"), &json!("orders"), &json!(1)));
    assert_eq!(change["before"], Value::Null);
    assert_eq!(change["after"], json!({ "id": 1, "version": 1, "status": "new" }));

    let again = once(&shop, &[]);
    assert_eq!((again.status, again.stdout.as_str()), (0, ""));
    shop.add(26..=27);
    assert_eq!(once(&shop, &[]).ids(), [26, 27]);
    assert!(shop.document("orders").unwrap().lease().is_none(), "the lease is released");
}

#[test]
fn options_of_the_source_reach_it() {
    let shop = Shop::new();
    shop.sql("CREATE TABLE visits (region TEXT, id INTEGER, at INTEGER, gone INTEGER, PRIMARY KEY (region, id))");
    shop.sql(
        "INSERT INTO visits VALUES ('eu', 1, 1, NULL), ('us', 1, 1, NULL), ('eu', 2, 2, 1), ('us', 2, NULL, NULL)",
    );
    let (url, state) = (shop.url(), shop.state_url());
    let tail = |name: &str, args: &[&str]| {
        let mut command = shop.command(&["tail", "--url", &url, "--checkpoints", &state, "--once", "--name", name]);
        run(command.args(["--cursor", "at"]).args(args))
    };
    let table = ["--table", "visits", "--key", "region", "--key", "id"];
    let nulls = tail("a", &table);
    assert!(nulls.failure(1).contains("NULL"), "{nulls:?}");
    assert_eq!(nulls.stdout, "");

    let part = ["--null", "skip", "--filter", "region = :region", "--param", "region=eu", "--deleted-when", "gone"];
    let part = tail("b", &[&table[..], &part, &["--columns", "id,region"]].concat());
    assert_eq!(part.status, 0, "{part:?}");
    let changes = part.changes();
    assert_eq!(changes[0]["pk"], json!({ "region": "eu", "id": 1 }));
    assert_eq!(changes[0]["after"], json!({ "id": 1, "region": "eu" }));
    assert_eq!((&changes[1]["op"], &changes[1]["after"]), (&json!("delete"), &Value::Null));
    assert_eq!(changes.len(), 2);

    let query = "SELECT id, at FROM visits WHERE at >= :least AND region = :region";
    let query = ["--query", query, "--param", "least=2", "--param", "region=eu", "--key", "id", "--insert-only"];
    let query = tail("c", &query);
    assert_eq!(query.changes().len(), 1, "{query:?}");
    assert_eq!((&query.changes()[0]["op"], &query.changes()[0]["source"]), (&json!("insert"), &json!("c")));

    shop.sql("CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT NOT NULL)");
    shop.sql("INSERT INTO events VALUES (1, datetime('now', '-1 hour')), (2, datetime('now', '+1 hour'))");
    let lag = tail("d", &["--table", "events", "--key", "id", "--lag", "2s"]);
    assert_eq!(lag.ids(), [1], "{lag:?}");
}

#[test]
fn a_long_run_goes_on_until_sigterm_and_releases_its_lease() {
    let shop = Shop::new();
    shop.add(1..=5);
    let mut tail = Running::start(&mut shop.tail("orders", &["--interval", "50ms"]), shop.path("out"));
    until(PATIENCE, "five rows are printed", || tail.printed().lines().count() == 5);
    shop.add(6..=7);
    until(PATIENCE, "two more are printed", || tail.printed().lines().count() == 7);
    until(PATIENCE, "they are acknowledged", || shown(&shop, "orders")["position"]["value"] == json!(7));
    assert_eq!(shown(&shop, "orders")["lease"]["state"], "held");

    assert_eq!(tail.terminate(), 0);
    assert_eq!(command::changes(&tail.printed()).iter().map(id).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    assert_eq!(shown(&shop, "orders")["lease"], Value::Null);
    shop.add(8..=8);
    assert_eq!(once(&shop, &[]).ids(), [8], "nothing comes twice after a restart");
}

#[test]
fn sigint_ends_a_drain_after_the_running_batch() {
    let shop = Shop::new();
    for thousand in 0..40 {
        shop.add(thousand * 1000 + 1..=thousand * 1000 + 1000);
    }
    let mut tail = Running::start(&mut shop.tail("orders", &["--once", "--batch-size", "5"]), shop.path("out"));
    until(PATIENCE, "it has begun", || tail.printed().lines().count() > 10);
    tail.signal("-INT");
    assert_eq!(tail.wait(), 0);
    let first = command::changes(&tail.printed());
    assert!(first.len() < 40_000, "it was stopped in the middle");
    assert_eq!(shown(&shop, "orders")["lease"], Value::Null);
    let second = once(&shop, &["--batch-size", "1000"]);
    let all: Vec<u64> = first.iter().map(id).chain(second.ids()).collect();
    assert_eq!(all, (1..=40_000).collect::<Vec<_>>(), "no row is lost and none comes twice");
}

#[test]
fn a_lease_held_elsewhere_is_status_3_for_once_and_standing_by_otherwise() {
    let shop = Shop::new();
    shop.add(1..=3);
    let mut holder = Running::start(&mut shop.tail("orders", &["--interval", "50ms"]), shop.path("first"));
    until(PATIENCE, "the first one has printed", || holder.printed().lines().count() == 3);
    until(PATIENCE, "and acknowledged", || shown(&shop, "orders")["position"]["value"] == json!(3));
    let owner = shown(&shop, "orders")["lease"]["owner_id"].as_str().unwrap().to_owned();

    let refused = once(&shop, &[]);
    assert!(refused.failure(3).contains(&owner), "{refused:?}");
    let mut other = Running::start(&mut shop.tail("orders", &["--interval", "50ms"]), shop.path("second"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(other.is_running() && other.printed().is_empty());

    for verb in [&["reset"][..], &["import", "doc.json"]] {
        if verb[0] == "import" {
            assert_eq!(run(&mut shop.checkpoint("export", "orders", &["doc.json"])).status, 0);
        }
        let refused = run(&mut shop.checkpoint(verb[0], "orders", &verb[1..]));
        let line = refused.failure(3);
        assert!(line.contains(&owner) && line.contains("until 20"), "owner and expiry are named: {line}");
    }

    assert_eq!(holder.terminate(), 0);
    shop.add(4..=4);
    until(PATIENCE, "the other one takes over", || other.printed().lines().count() == 1);
    assert_eq!(other.terminate(), 0);
}

#[test]
fn a_reader_who_leaves_ends_it_cleanly_and_the_batch_comes_again() {
    let shop = Shop::new();
    for thousand in 0..20 {
        shop.add(thousand * 1000 + 1..=thousand * 1000 + 1000);
    }
    let mut tail = shop.tail("orders", &["--interval", "50ms", "--batch-size", "1000"]);
    let mut child = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(id(&serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()), 1);
    drop(lines);
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));

    let document = shop.document("orders").unwrap();
    assert!(document.lease().is_none(), "the lease is released");
    let acknowledged = document.position().map_or(0, |_| shown(&shop, "orders")["position"]["value"].as_u64().unwrap());
    assert!(acknowledged < 20_000);
    let rest = once(&shop, &["--batch-size", "1000"]).ids();
    assert_eq!(rest, (acknowledged + 1..=20_000).collect::<Vec<_>>());

    // The other commands, too.
    for args in [&["completions", "bash"][..], &["checkpoint", "list", "--checkpoints", &shop.state_url()]] {
        let mut child = shop.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = said(child.wait_with_output().unwrap());
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn a_reader_who_pauses_costs_no_lease_and_tears_no_line() {
    let shop = Shop::new();
    for thousand in 0..10 {
        shop.add(thousand * 1000 + 1..=thousand * 1000 + 1000);
    }
    let mut tail = shop.tail("orders", &["--once", "--batch-size", "2500", "--lease-ttl", "3s"]);
    let mut child = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    reader.read_line(&mut printed).unwrap();
    // Longer than TTL and margin: without heartbeats the lease would be free.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(once(&shop, &[]).status, 3, "the lease is renewed while nobody reads");
    reader.read_to_string(&mut printed).unwrap();
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert_eq!(command::changes(&printed).iter().map(id).collect::<Vec<_>>(), (1..=10_000).collect::<Vec<_>>());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure_and_the_batch_comes_again() {
    let shop = Shop::new();
    shop.add(1..=3);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = said(shop.tail("orders", &["--once"]).stdout(full).stderr(Stdio::piped()).output().unwrap());
    assert!(failed.failure(1).contains("stdout could not be written"), "{failed:?}");
    assert_eq!(once(&shop, &[]).ids(), [1, 2, 3]);
}

#[test]
fn checkpoints_are_listed_and_shown() {
    let shop = Shop::new();
    shop.add(1..=3);
    once(&shop, &[]);
    run(&mut shop.tail("other", &["--once", "--filter", "id > 1"]));
    let state = shop.state_url();
    let list = run(&mut shop.command(&["checkpoint", "list", "--checkpoints", &state]));
    assert_eq!(list.status, 0);
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{list:?}");
    assert!(lines[1].starts_with("orders ") && lines[2].starts_with("other "), "{list:?}");
    let list = run(&mut shop.command(&["checkpoint", "list", "--json", "--checkpoints", &state]));
    let listed: Vec<Value> = list.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&listed[0]["poller"], &listed[1]["poller"]), (&json!("orders"), &json!("other")));

    let json = shown(&shop, "other");
    assert_eq!(json["position"]["value"], 3);
    assert_eq!(json["position"]["tiebreaker"], json!({ "id": 3 }));
    assert_eq!((&json["fencing_token"], &json["lease"]), (&json!(1), &Value::Null));
    assert_eq!((&json["source"]["table"], &json["source"]["filter"]), (&json!("orders"), &json!("id > 1")));
    assert!(json["source_fingerprint"].as_str().unwrap().starts_with("sha256:"));
    assert!(json["checkpoint"]["age_seconds"].as_u64().unwrap() < 60);

    let text = run(&mut shop.checkpoint("show", "other", &[])).stdout;
    for expected in ["version = 3, id = 3", "lease          free", "fencing token  1", "table        orders"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let absent = run(&mut shop.checkpoint("show", "nobody", &[]));
    assert!(absent.failure(1).contains("checkpoint list"), "{absent:?}");
}

#[test]
fn a_reset_goes_to_the_beginning_to_a_position_or_to_a_document() {
    let shop = Shop::new();
    shop.add(1..=3);
    once(&shop, &[]);
    assert_eq!(run(&mut shop.checkpoint("export", "orders", &["at-three.json"])).status, 0);
    let third = shown(&shop, "orders")["position"].to_string();
    shop.add(4..=5);
    once(&shop, &[]);
    let before = shown(&shop, "orders");

    let rehearsed = run(&mut shop.checkpoint("reset", "orders", &["--dry-run"]));
    assert!(rehearsed.stdout.starts_with("dry run, nothing written"), "{rehearsed:?}");
    let mut after = shown(&shop, "orders");
    after["checkpoint"]["age_seconds"] = before["checkpoint"]["age_seconds"].clone();
    assert_eq!(after, before);

    let reset = run(&mut shop.checkpoint("reset", "orders", &[]));
    assert_eq!(reset.status, 0, "{reset:?}");
    assert!(reset.stdout.contains("the beginning") && reset.stdout.contains(r#""value":5"#), "{reset:?}");
    assert!(shown(&shop, "orders")["fencing_token"].as_u64() > before["fencing_token"].as_u64());
    assert_eq!(once(&shop, &[]).ids(), [1, 2, 3, 4, 5]);
    assert_eq!(run(&mut shop.checkpoint("reset", "orders", &["--to", &third])).status, 0);
    assert_eq!(once(&shop, &[]).ids(), [4, 5]);
    assert_eq!(run(&mut shop.checkpoint("reset", "orders", &["--to", "at-three.json"])).status, 0);
    assert_eq!(once(&shop, &[]).ids(), [4, 5]);

    let wrong = run(&mut shop.checkpoint("reset", "orders", &["--to", r#"{"s3cret":1}"#]));
    assert!(wrong.failure(1).contains("no position") && !wrong.stderr.contains("s3cret"), "{wrong:?}");
    let wrong = run(&mut shop.checkpoint("reset", "orders", &["--to", "nowhere.json"]));
    assert!(wrong.failure(1).contains("nowhere.json"), "{wrong:?}");
    assert_eq!(once(&shop, &[]).ids(), [0; 0], "nothing moved");
}

#[test]
fn clones_have_event_ids_of_their_own_unless_told_otherwise() {
    let shop = Shop::new();
    shop.add(1..=2);
    once(&shop, &[]);
    assert_eq!(run(&mut shop.checkpoint("clone", "orders", &["--to", "copy", "--dry-run"])).status, 0);
    assert!(shop.document("copy").is_none());
    assert_eq!(run(&mut shop.checkpoint("clone", "orders", &["--to", "copy"])).status, 0);
    assert_eq!(run(&mut shop.checkpoint("clone", "orders", &["--to", "twin", "--keep-stream-id"])).status, 0);
    shop.add(3..=3);
    let event = |name: &str| {
        let changes = run(&mut shop.tail(name, &["--once"])).changes();
        assert_eq!(changes.iter().map(id).collect::<Vec<_>>(), [3], "{name}");
        changes[0]["event_id"].clone()
    };
    let original = event("orders");
    assert_ne!(event("copy"), original);
    assert_eq!(event("twin"), original);
    assert!(run(&mut shop.checkpoint("clone", "orders", &["--to", "orders"])).failure(1).contains("another name"));
}

#[test]
fn exports_go_through_stdout_and_stdin_into_another_store() {
    let shop = Shop::new();
    shop.add(1..=2);
    once(&shop, &[]);
    let exported = run(&mut shop.checkpoint("export", "orders", &[]));
    assert_eq!(serde_json::from_str::<Value>(&exported.stdout).unwrap()["poller_name"], "orders");

    let elsewhere = format!("file://{}", shop.path("elsewhere").display());
    let import = |args: &[&str]| {
        let mut command = shop.command(&["checkpoint", "import", "--checkpoints", &elsewhere, "--name", "moved"]);
        let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(exported.stdout.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    };
    assert_eq!(import(&["--dry-run"]).status, 0);
    assert!(!shop.path("elsewhere").exists(), "a rehearsal creates no folder");
    assert_eq!(import(&[]).status, 0);
    shop.add(3..=3);
    let url = shop.url();
    let mut moved = shop.command(&["tail", "--url", &url, "--checkpoints", &elsewhere, "--name", "moved", "--once"]);
    assert_eq!(run(moved.args(["--table", "orders", "--cursor", "version", "--key", "id"])).ids(), [3]);
}

#[test]
fn a_source_that_was_changed_is_refused_until_it_is_adopted() {
    let shop = Shop::new();
    shop.add(1..=2);
    once(&shop, &[]);
    shop.add(3..=4);
    let filter = ["--filter", "id <> :left_out", "--param", "left_out=3"];
    let refused = once(&shop, &filter);
    assert!(refused.failure(1).contains("filter"), "{refused:?}");

    let url = shop.url();
    let adopt = |args: &[&str]| {
        let source = ["--url", &url, "--table", "orders", "--cursor", "version", "--key", "id"];
        run(shop.checkpoint("adopt", "orders", &source).args(args))
    };
    let rehearsed = adopt(&[&filter[..], &["--dry-run"]].concat());
    assert!(rehearsed.stdout.contains("dry run") && rehearsed.stdout.contains("filter"), "{rehearsed:?}");
    assert_eq!(once(&shop, &filter).status, 1);
    let adopted = adopt(&filter);
    assert!(adopted.stdout.contains("filter") && adopted.stdout.contains("version = 2, id = 2"), "{adopted:?}");
    assert_eq!(once(&shop, &filter).ids(), [4], "the position was taken over");
    assert!(adopt(&filter).stdout.contains("the same source"));

    let other = ["--url", &url, "--table", "orders", "--cursor", "id", "--key", "id"];
    let other = run(&mut shop.checkpoint("adopt", "orders", &other));
    assert!(other.failure(1).contains("cursor"), "{other:?}");
    let missing = ["--url", &url, "--table", "ordres", "--cursor", "id", "--key", "id"];
    assert!(run(&mut shop.checkpoint("adopt", "orders", &missing)).failure(1).contains("did you mean `orders`"));
}

#[test]
fn bad_input_says_why_and_how_to_mend_it_and_loses_nothing() {
    let shop = Shop::new();
    shop.add(1..=3);
    let state = shop.state_url();
    let tail = |url: &str, rest: &[&str]| {
        run(shop.command(&["tail", "--once", "--checkpoints", &state, "--url", url]).args(rest))
    };
    let orders = ["--name", "orders", "--table", "orders", "--cursor", "version", "--key", "id"];
    let url = shop.url();
    let missing = format!("sqlite://{}", shop.path("missing.db").display());
    for (said, expected) in [
        (tail("shop.db", &orders), "sqlite://shop.db"),
        (tail("postgres://me:s3cret@host/db", &orders), "`Source`"),
        (tail("sqlite://%NOT_SET_ANYWHERE%/x.db", &orders), "NOT_SET_ANYWHERE"),
        (tail(&missing, &orders), "missing.db"),
        (tail(&url, &["--name", "o", "--table", "oders", "--cursor", "version", "--key", "id"]), "`orders`?"),
        (tail(&url, &["--name", "o", "--table", "orders", "--cursor", "verison", "--key", "id"]), "`version`?"),
        (tail(&url, &["--name", "o", "--table", "orders", "--cursor", "version", "--key", "ID2"]), "`id`"),
        (tail(&url, &["--name", "../o", "--table", "orders", "--cursor", "version", "--key", "id"]), "../o"),
        (once(&shop, &["--batch-size", "0"]), "at least 1"),
        (once(&shop, &["--lease-ttl", "1s"]), "at least 3s"),
        (once(&shop, &["--filter", "id = :x"]), ":x"),
        (once(&shop, &["--filter", "1=1) OR (1=1"]), "parenthesis"),
        (once(&shop, &["--param", "x=1"]), "neither a filter"),
    ] {
        let line = said.failure(1);
        assert!(line.contains(expected) && !line.contains("s3cret"), "{expected}: {line}");
        assert_eq!(said.stdout, "");
    }
    assert!(!shop.path("missing.db").exists(), "a reader creates no database");
    assert_eq!(once(&shop, &[]).ids(), [1, 2, 3], "and nothing was lost");
}

#[test]
fn documents_that_cannot_be_read_are_left_alone() {
    let shop = Shop::new();
    shop.add(1..=3);
    once(&shop, &[]);
    let file = shop.path("state").join("orders.json");
    let good = std::fs::read(&file).unwrap();
    let future = String::from_utf8(good.clone()).unwrap().replacen(r#""version":1"#, r#""version":2"#, 1);
    for (bytes, mend) in [(&good[..good.len() / 2], "import"), (future.as_bytes(), "upgrade"), (b"s3cret", "import")] {
        std::fs::write(&file, bytes).unwrap();
        let refused = once(&shop, &[]);
        assert!(refused.failure(1).contains(mend) && !refused.stderr.contains("s3cret"), "{refused:?}");
        assert!(run(&mut shop.checkpoint("show", "orders", &[])).failure(1).contains(mend));
        assert_eq!(run(&mut shop.checkpoint("reset", "orders", &[])).status, 1);
        let list = run(&mut shop.command(&["checkpoint", "list", "--checkpoints", &shop.state_url()]));
        assert!(list.status == 0 && list.stdout.contains("can't be read"), "{list:?}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "nothing was written over it");
    }
    std::fs::write(&file, good).unwrap();
    shop.add(4..=4);
    assert_eq!(once(&shop, &[]).ids(), [4]);
}

#[test]
fn stores_that_cannot_be_used_are_refused() {
    let shop = Shop::new();
    shop.add(1..=1);
    let url = shop.url();
    let tail = |state: &str| {
        let args = ["tail", "--once", "--url", &url, "--name", "o", "--table", "orders", "--cursor", "version"];
        run(shop.command(&args).args(["--key", "id", "--checkpoints", state]))
    };
    let below_a_file = format!("file://{}", shop.path("shop.db").join("state").display());
    for (state, expected) in [
        ("state", "file:///"),
        ("file://state", "absolute path"),
        ("s3://key:s3cret@bucket", "no checkpoint store"),
        ("file:///x?token=s3cret", "no options"),
        (below_a_file.as_str(), "below one"),
        ("file://%NOT_SET_ANYWHERE%/x", "NOT_SET_ANYWHERE"),
    ] {
        let refused = tail(state);
        assert!(refused.failure(1).contains(expected) && !refused.stderr.contains("s3cret"), "{state}: {refused:?}");
    }
    let nowhere = format!("file://{}", shop.path("nowhere").display());
    for verb in ["show", "reset", "export", "clone"] {
        let mut command = shop.command(&["checkpoint", verb, "--checkpoints", &nowhere, "--name", "o"]);
        let refused = run(command.args(if verb == "clone" { &["--to", "p"][..] } else { &[] }));
        assert!(refused.failure(1).contains("nowhere"), "{refused:?}");
    }
    assert!(!shop.path("nowhere").exists(), "a slip in a path creates no folder");
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt as _;

    let shop = Shop::new();
    shop.add(1..=1);
    once(&shop, &[]);
    let folder = shop.path("state");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    // Those who may do everything can't be shown what may not be done: for them, a folder in the document's place.
    let unwritable = std::fs::write(folder.join("probe"), b"").is_err();
    if unwritable {
        let refused = run(&mut shop.tail("another", &["--once"]));
        assert!(refused.failure(1).contains("permission"), "{refused:?}");
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    if !unwritable {
        let _ = std::fs::remove_file(folder.join("probe"));
    }
    std::fs::create_dir(folder.join("third.json")).unwrap();
    let refused = run(&mut shop.tail("third", &["--once"]));
    assert!(refused.failure(1).contains("third.json"), "{refused:?}");
}

#[test]
fn wrong_arguments_are_status_2_and_show_no_password() {
    let shop = Shop::new();
    for args in [
        &["tail"][..],
        &["tail", "--nope"],
        &["tail", "postgres://me:s3cret@host/db?password=s3cret"],
        &["checkpoint", "show"],
        &["checkpoint", "forget"],
        &["completions", "nosh"],
        &[],
    ] {
        let refused = run(&mut shop.command(args));
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{refused:?}");
        assert!(!refused.stderr.is_empty() && !refused.stderr.contains("s3cret"), "{refused:?}");
    }
    for args in [
        &["--interval", "5"][..],
        &["--interval", "0s"],
        &["--batch-size", "many"],
        &["--null", "maybe"],
        &["--query", "SELECT 1"],
        &["--lag", "1x"],
        &["--param", "novalue"],
    ] {
        assert_eq!(once(&shop, args).status, 2, "{args:?}");
    }
}

#[test]
fn no_secret_is_printed_logged_or_kept() {
    let shop = Shop::new();
    shop.add(1..=3);
    shop.sql("UPDATE orders SET status = 's3cret-row'");
    let everything = ["--filter", "status <> :password", "--param", "password=s3cret-param"];
    let mut tail = shop.tail("orders", &["--once"]);
    let tailed = run(tail.args(everything).env("HIGHWATER_LOG", "trace"));
    assert_eq!(tailed.changes().len(), 3);
    assert!(!tailed.stderr.contains("s3cret-param") && !tailed.stdout.contains("s3cret-param"));
    let highwater = |line: &&str| line.contains("highwater");
    let ours: Vec<&str> = tailed.stderr.lines().filter(highwater).collect();
    assert!(!ours.iter().any(|line| line.contains("s3cret")), "{ours:?}");
    let kept = std::fs::read_to_string(shop.path("state").join("orders.json")).unwrap();
    assert!(!kept.contains("s3cret"), "{kept}");

    // Help names the variables, not what is in them.
    let mut help = shop.command(&["tail", "--help"]);
    let help = run(help.env("HIGHWATER_URL", "s3cret").env("HIGHWATER_CHECKPOINTS", "s3cret"));
    assert!(help.status == 0 && help.stdout.contains("HIGHWATER_URL") && !help.stdout.contains("s3cret"));
}

#[test]
fn urls_come_from_the_environment_too() {
    let shop = Shop::new();
    shop.add(1..=2);
    let mut tail = shop.command(&["tail", "--once", "--name", "orders", "--table", "orders", "--cursor", "version"]);
    tail.args(["--key", "id"]).env("SHOP", shop.path("")).env("HIGHWATER_URL", "sqlite://%SHOP%/shop.db");
    assert_eq!(run(tail.env("HIGHWATER_CHECKPOINTS", "file://%SHOP%/100%%")).ids(), [1, 2]);
    assert!(shop.path("100%").join("orders.json").exists());
}

#[test]
fn help_teaches_and_completions_complete() {
    let shop = Shop::new();
    for (args, expected) in [
        (&["--help"][..], "Exit status"),
        (&["tail", "--help"], "highwater tail --url sqlite://shop.db"),
        (&["checkpoint", "reset", "--help"], "--to"),
        (&["checkpoint", "adopt", "--help"], "--dry-run"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "_highwater"),
        (&["completions", "zsh"], "#compdef highwater"),
        (&["completions", "fish"], "complete -c highwater"),
    ] {
        let said = run(&mut shop.command(args));
        assert!(said.status == 0 && said.stdout.contains(expected), "{args:?}: {said:?}");
        assert_eq!(said.stderr, "");
    }
}

#[test]
fn what_may_lose_rows_is_warned_of_on_stderr_alone() {
    let shop = Shop::new();
    shop.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, at TEXT NOT NULL)");
    shop.sql("INSERT INTO notes VALUES (1, '2026-01-01 00:00:00')");
    let (url, state) = (shop.url(), shop.state_url());
    let mut tail = shop.command(&["tail", "--once", "--url", &url, "--checkpoints", &state, "--name", "notes"]);
    let warned = run(tail.args(["--table", "notes", "--cursor", "at", "--key", "id"]));
    assert_eq!((warned.status, warned.ids()), (0, vec![1]));
    assert!(warned.stderr.contains("WARN") && warned.stderr.contains("CREATE INDEX"), "{warned:?}");
}
