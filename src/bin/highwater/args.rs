//! The arguments, and what `--help` teaches.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser as NonEmpty;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use highwater::config::parse_duration;
use highwater::{NullPolicy, SourceSpec, StoreSpec, Value};

/// Follows a table or a query of a SQL database, and remembers how far it got.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit status:
  0  done; or stopped by SIGINT or SIGTERM, or because nobody reads the output any more
  1  failed: one line on stderr says why and how to mend it
  2  wrong arguments
  3  the lease is held elsewhere

Environment:
  HIGHWATER_URL, HIGHWATER_CHECKPOINTS  stand in for --url and --checkpoints, and keep them out of `ps`
  HIGHWATER_LOG (or RUST_LOG)           what is logged on stderr, as in `highwater=debug`; default: warnings
  %NAME% in a database or store URL stands for the variable NAME; %% is a percent sign

Start with `highwater tail --help`.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print each change as one line of JSON, and go on where the last run stopped.
    Tail(Box<TailArgs>),
    /// Look at pollers' checkpoints, move, copy and save them.
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  highwater completions bash > /etc/bash_completion.d/highwater")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which poller: the store that keeps its checkpoint, and its name there.
#[derive(Debug, Args)]
pub(crate) struct PollerArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The poller's name, which is that of its checkpoint: letters, digits, `.`, `_` and `-`.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where checkpoints are kept, as in `file:///var/lib/shop/state`.
    #[arg(long, value_name = "URL", env = "HIGHWATER_CHECKPOINTS", hide_env_values = true)]
    checkpoints: String,
}

impl StoreArgs {
    pub(crate) fn spec(&self) -> StoreSpec {
        StoreSpec::new(&self.checkpoints)
    }
}

/// What is followed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source", group = ArgGroup::new("origin").required(true))]
pub(crate) struct SourceArgs {
    /// The database, as in `sqlite://shop.db`.
    #[arg(long, value_name = "URL", env = "HIGHWATER_URL", hide_env_values = true)]
    pub(crate) url: String,
    /// The table or view to follow.
    #[arg(long, group = "origin", value_parser = NonEmpty::new())]
    table: Option<String>,
    /// A query to follow, in SQL; `:name` stands for a --param. Cursor and key are columns of its result.
    #[arg(long, group = "origin", value_name = "SQL", value_parser = NonEmpty::new())]
    query: Option<String>,
    /// The table's schema; on SQLite that of an attached database.
    #[arg(long, requires = "table")]
    schema: Option<String>,
    /// The table's columns to print, separated by commas [default: all].
    #[arg(long, requires = "table", value_delimiter = ',', value_name = "COLUMN,...")]
    columns: Option<Vec<String>>,
    /// The column that orders changes: a time of the last change, a version, an id.
    #[arg(long, value_name = "COLUMN", value_parser = NonEmpty::new())]
    cursor: String,
    /// A column of the primary key; for a key of several columns, give it again, in order.
    #[arg(long, required = true, value_name = "COLUMN", value_parser = NonEmpty::new())]
    key: Vec<String>,
    /// Which of the table's rows to follow: a condition in SQL; `:name` stands for a --param.
    #[arg(long, requires = "table", value_name = "SQL")]
    filter: Option<String>,
    /// The value of a `:name` in query or filter. A JSON number, true, false or null is one; anything else is
    /// text, and so is what stands in double quotes.
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    param: Vec<(String, Value)>,
    /// Keep back rows whose cursor is younger than this: longer than any transaction that writes them.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) lag: Option<Duration>,
    /// The column that marks deleted rows: where it is set, the change is a delete.
    #[arg(long, value_name = "COLUMN")]
    deleted_when: Option<String>,
    /// Rows are only ever added: changes are inserts instead of upserts.
    #[arg(long)]
    insert_only: bool,
    /// What to do about rows whose cursor is NULL.
    #[arg(long, value_enum, default_value = "error")]
    null: Null,
}

/// What to do about rows whose cursor is NULL.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Null {
    /// Stop: the error says how to find them.
    Error,
    /// Leave them out.
    Skip,
}

impl SourceArgs {
    /// What the library makes a source of. A query is called by the poller's name.
    pub(crate) fn spec(&self, poller: &str) -> SourceSpec {
        let mut spec = SourceSpec::default();
        spec.name = self.query.is_some().then(|| poller.to_owned());
        spec.table.clone_from(&self.table);
        spec.query.clone_from(&self.query);
        spec.schema.clone_from(&self.schema);
        spec.columns.clone_from(&self.columns);
        spec.cursor.clone_from(&self.cursor);
        spec.key.clone_from(&self.key);
        spec.filter.clone_from(&self.filter);
        spec.params = self.param.iter().cloned().collect();
        spec.lag = self.lag;
        spec.deleted_when.clone_from(&self.deleted_when);
        spec.insert_only = self.insert_only;
        spec.nulls = match self.null {
            Null::Error => NullPolicy::Error,
            Null::Skip => NullPolicy::Skip,
        };
        spec
    }
}

/// `name=value`: what JSON writes as a scalar is that scalar, anything else is text. Errors don't quote it.
fn param(text: &str) -> Result<(String, Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a parameter is given as NAME=VALUE")?;
    if name.is_empty() {
        return Err("a parameter has a name before its `=`");
    }
    let value = match serde_json::from_str(value) {
        Ok(serde_json::Value::Null) => Value::Null,
        Ok(serde_json::Value::Bool(truth)) => Value::Bool(truth),
        Ok(serde_json::Value::String(text)) => Value::Text(text),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(real)) if !number.is_u64() => Value::Real(real),
            _ => Value::Text(value.to_owned()),
        },
        _ => Value::Text(value.to_owned()),
    };
    Ok((name.to_owned(), value))
}

/// A wait of no time at all would ask the database again and again.
fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("give at least 1ms".to_owned()),
        parsed => parsed.map_err(|error| error.message().to_owned()),
    }
}

/// `highwater tail`.
#[derive(Debug, Args)]
#[command(after_help = TAIL_AFTER_HELP)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) poller: PollerArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Stop when every row that is there has been printed; exit with 3 when the lease is held elsewhere.
    #[arg(long, help_heading = "Running")]
    pub(crate) once: bool,
    /// How long to wait before looking again, once drained.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = interval, help_heading = "Running")]
    pub(crate) interval: Duration,
    /// The most rows in one batch: so many can come twice after a crash.
    #[arg(long, value_name = "ROWS", default_value_t = 100, help_heading = "Running")]
    pub(crate) batch_size: u32,
    /// How long the lease lives without a heartbeat, at least 3s: after a crash, others wait for as long.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = parse_duration, help_heading = "Running")]
    pub(crate) lease_ttl: Duration,
}

const TAIL_AFTER_HELP: &str = "\
Each line is one change: an object with event_id, op, source, cursor, pk, before, after and metadata. A batch
is acknowledged when its lines are flushed: a crash in between prints them again, with the same event_id.
While another process holds the lease, this one stands by. SIGINT and SIGTERM stop it after the running batch.
Progress is shown on stderr when that is a terminal and stdout is not, else logged: HIGHWATER_LOG=info.

Examples:
  Follow a table as it changes:
    highwater tail --url sqlite://shop.db --table orders --cursor updated_at --key id \\
        --checkpoints file:///var/lib/shop/state --name orders --interval 1s --lag 2s
  Print what is new since the last time, from cron:
    highwater tail --url sqlite://shop.db --table orders --cursor updated_at --key id \\
        --checkpoints file:///var/lib/shop/state --name orders --once >> orders.jsonl
  Follow part of a table, or a query:
    highwater tail ... --table orders --filter 'region = :region' --param region=eu --columns id,status
    highwater tail ... --query 'SELECT o.id, o.version, c.name FROM orders o JOIN customers c ON c.id = o.customer' \\
        --cursor version --key id";

/// `highwater checkpoint`.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// List the pollers that have a checkpoint.
    List {
        #[command(flatten)]
        store: StoreArgs,
        /// One JSON object a line instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show a poller's position, lease and source.
    Show {
        #[command(flatten)]
        poller: PollerArgs,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Move a poller's checkpoint: to the beginning, or elsewhere by --to.
    #[command(after_help = RESET_AFTER_HELP)]
    Reset {
        #[command(flatten)]
        poller: PollerArgs,
        /// Where to: `beginning`, a position in JSON as `show --json` prints it, or an exported file (- is stdin).
        #[arg(long, value_name = "WHERE", default_value = "beginning", value_parser = NonEmpty::new())]
        to: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Give another poller the state of this one.
    #[command(after_help = "Example: a second destination that begins where the first one is\n  highwater checkpoint \
                            clone --checkpoints file:///var/lib/shop/state --name orders --to orders-search")]
    Clone {
        #[command(flatten)]
        poller: PollerArgs,
        /// The other poller.
        #[arg(long, value_name = "NAME")]
        to: String,
        /// Both pollers' events have the same ids; otherwise the copy's are its own.
        #[arg(long)]
        keep_stream_id: bool,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Write a poller's state to a file or to stdout.
    Export {
        #[command(flatten)]
        poller: PollerArgs,
        /// The file; - is stdout.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Put an exported state back, or into another store.
    #[command(
        after_help = "Example:\n  highwater checkpoint export --checkpoints file:///old/state --name orders |\n  \
                            highwater checkpoint import --checkpoints file:///new/state --name orders"
    )]
    Import {
        #[command(flatten)]
        poller: PollerArgs,
        /// The file; - is stdin.
        #[arg(default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Keep the position although the source is defined otherwise now: say how as for `tail`.
    #[command(after_help = ADOPT_AFTER_HELP)]
    Adopt {
        #[command(flatten)]
        poller: PollerArgs,
        #[command(flatten)]
        source: Box<SourceArgs>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Rehearsal {
    /// Make every check and show the outcome, but write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const RESET_AFTER_HELP: &str = "\
The fencing token rises, so that nobody who is still running can commit over it; while a lease lives, the reset is
refused. What stood there before is printed, ready for --to.

Examples:
  Print everything again:
    highwater checkpoint reset --checkpoints file:///var/lib/shop/state --name orders
  Go on after a position:
    highwater checkpoint reset ... --to \"$(highwater checkpoint show ... --json | jq -c .position)\"
  Go back to a saved state:
    highwater checkpoint reset ... --to orders.json";

const ADOPT_AFTER_HELP: &str = "\
A checkpoint is bound to its source: table or query, cursor, key, filter, columns, parameters. When one of them is
changed on purpose, `adopt` shows what differs and keeps the position. Mode, cursor and key have to be the same.

Example: follow fewer rows from here on
  highwater checkpoint adopt --checkpoints file:///var/lib/shop/state --name orders --url sqlite://shop.db \\
      --table orders --cursor updated_at --key id --filter \"status = 'paid'\" --dry-run";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        let words =
            "highwater tail --url sqlite::memory: --table t --cursor c --key id --checkpoints memory:// --name t";
        let Command::Tail(args) = Cli::try_parse_from(words.split(' ')).unwrap().command else { panic!("no tail") };
        let lease = highwater::LeaseSettings::default().lease_ttl();
        assert_eq!((args.interval, args.batch_size, args.lease_ttl), (highwater::DEFAULT_INTERVAL, 100, lease));
    }

    #[test]
    fn parameters_are_typed_as_json_writes_them() {
        for (text, expected) in [
            ("n=5", Value::Integer(5)),
            ("n=-1.5", Value::Real(-1.5)),
            ("n=true", Value::Bool(true)),
            ("n=null", Value::Null),
            ("n=\"5\"", Value::Text("5".into())),
            ("n=01", Value::Text("01".into())),
            ("n=eu", Value::Text("eu".into())),
            ("n=", Value::Text(String::new())),
            ("n=a=b", Value::Text("a=b".into())),
            ("n=18446744073709551615", Value::Text("18446744073709551615".into())),
        ] {
            assert!(param(text).unwrap() == ("n".to_owned(), expected), "{text}");
        }
        assert!(param("n").is_err() && param("=5").is_err());
    }
}
