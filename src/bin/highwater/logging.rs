//! stderr: log lines, and on a terminal one line of progress that they don't tear.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;

/// The driver's warnings quote SQL, so they come only when asked for.
const DEFAULT_FILTER: &str = "error,highwater=warn";
/// Back to the line's start, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// Whether a line of progress stands on the terminal.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Sends log lines to stderr, filtered as `HIGHWATER_LOG` or `RUST_LOG` say.
pub(crate) fn start() {
    let given = ["HIGHWATER_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok());
    let filter = given.filter(|given| !given.trim().is_empty()).map(EnvFilter::try_new);
    let wrong = matches!(filter, Some(Err(_)));
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let terminal = io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(|| Stderr);
    // Started twice, the first one goes on.
    let _ = subscriber.try_init();
    if wrong {
        tracing::warn!("HIGHWATER_LOG or RUST_LOG can't be read as a filter like `highwater=debug`; logging warnings");
    }
}

/// Shows a line of progress in place of the last one.
pub(crate) fn show_progress(line: &str) {
    SHOWN.store(true, Ordering::Relaxed);
    // Progress that can't be shown is no reason to stop.
    let _ = write!(io::stderr().lock(), "{CLEAR}{line}");
}

/// Leaves the last line of progress standing.
pub(crate) fn end_progress() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = writeln!(io::stderr().lock());
    }
}

/// Takes the line of progress away before a log line; the next progress shows it again.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if SHOWN.swap(false, Ordering::Relaxed) {
            stderr.write_all(CLEAR.as_bytes())?;
        }
        stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
