//! Changes as lines of JSON on stdout.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use highwater::Batch;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;

/// Prints batches on a thread of its own: a reader that pauses stops the printing, and not the lease's heartbeat.
///
/// The thread finishes what it has begun even when its caller is gone, so that no line is torn by the next.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    jobs: mpsc::Sender<Job>,
    closed: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Job {
    batch: Batch,
    done: oneshot::Sender<io::Result<()>>,
}

/// How much is gathered before it is written.
const CHUNK: usize = 64 * 1024;

impl Printer {
    pub(crate) fn start() -> Result<Self, Failure> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(1);
        let print_all = move || {
            while let Some(Job { batch, done }) = waiting.blocking_recv() {
                // Nobody waits for a batch that was given up before its turn: it comes again.
                if !done.is_closed() {
                    let _ = done.send(print(&batch));
                }
            }
        };
        let thread = thread::Builder::new().name("highwater-stdout".to_owned()).spawn(print_all);
        thread.map_err(|error| Failure::Other("no thread for stdout".to_owned(), error))?;
        Ok(Self { jobs, closed: Arc::default() })
    }

    /// Prints a batch; done when it is flushed.
    pub(crate) async fn print(&self, batch: Batch) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let gone = || io::Error::other("the thread that prints has ended");
        self.jobs.send(Job { batch, done }).await.map_err(|_| gone())?;
        let outcome = outcome.await.unwrap_or_else(|_| Err(gone()));
        if outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Whether nobody reads stdout any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

fn print(batch: &Batch) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut lines = Vec::with_capacity(CHUNK);
    for change in batch.changes() {
        serde_json::to_writer(&mut lines, change)?;
        lines.push(b'\n');
        if lines.len() >= CHUNK {
            stdout.write_all(&lines)?;
            lines.clear();
        }
    }
    stdout.write_all(&lines)?;
    stdout.flush()
}
