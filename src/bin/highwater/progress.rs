//! How it is going: rows, rows a second, and how old a row was when it was printed.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use highwater::{Batch, Exact, RowChange};

use crate::logging;

/// Counts what was printed, and shows it: on a terminal as a line that renews itself, else in the log.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    counts: Arc<Mutex<Counts>>,
    face: Face,
    numbers: Numbers,
}

#[derive(Debug)]
struct Counts {
    rows: u64,
    lag: Option<TimeDelta>,
    begun: Instant,
    shown: (Instant, u64),
}

#[derive(Clone, Copy, Debug)]
enum Face {
    Terminal,
    Log,
}

/// Whether a cursor that is a number is a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    /// It is: the user asked for a lag, which only times have.
    Times,
    /// It may as well be an id.
    Unknown,
}

impl Progress {
    pub(crate) fn new(numbers: Numbers) -> Self {
        // Lines on the same terminal would tear each other.
        let face = if io::stderr().is_terminal() && !io::stdout().is_terminal() { Face::Terminal } else { Face::Log };
        let begun = Instant::now();
        let counts = Counts { rows: 0, lag: None, begun, shown: (begun, 0) };
        Self { counts: Arc::new(Mutex::new(counts)), face, numbers }
    }

    /// Where the batch's last row stands in time.
    pub(crate) fn time_of(&self, batch: &Batch) -> Option<DateTime<Utc>> {
        time(batch.changes().next_back().and_then(RowChange::cursor)?, self.numbers)
    }

    pub(crate) fn printed(&self, rows: usize, time: Option<DateTime<Utc>>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.rows += rows as u64;
        counts.lag = time.map(|time| Utc::now() - time);
    }

    /// Shows it again and again, until dropped.
    pub(crate) async fn keep_showing(&self) {
        let every = match self.face {
            Face::Terminal => Duration::from_secs(1),
            Face::Log => Duration::from_secs(10),
        };
        loop {
            tokio::time::sleep(every).await;
            self.show();
        }
    }

    /// Shows it for the last time, from the beginning on.
    pub(crate) fn end(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.shown = (counts.begun, 0);
        drop(counts);
        self.show();
        logging::end_progress();
    }

    fn show(&self) {
        let (rows, rate, lag, news) = self.counts.lock().unwrap_or_else(PoisonError::into_inner).read();
        let lag = lag.map(|lag| format!("{:.1}s", lag.as_seconds_f64()));
        match self.face {
            Face::Terminal => {
                let lag = lag.map(|lag| format!(", lag {lag}")).unwrap_or_default();
                logging::show_progress(&format!("{rows} rows, {rate:.0} rows/s{lag}"));
            }
            Face::Log if news => tracing::info!(rows, rows_per_second = rate.round(), lag, "progress"),
            Face::Log => {}
        }
    }
}

impl Counts {
    /// Rows, rows a second since the last look, lag, and whether there were any since then.
    fn read(&mut self) -> (u64, f64, Option<TimeDelta>, bool) {
        let (then, before) = self.shown;
        let (now, new) = (Instant::now(), self.rows - before);
        self.shown = (now, self.rows);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = new as f64 / (now - then).as_secs_f64().max(0.001);
        (self.rows, rate, self.lag, new > 0)
    }
}

/// The time that a cursor's value is, if it is one: as text in UTC, or in Unix time.
fn time(cursor: &Exact, numbers: Numbers) -> Option<DateTime<Utc>> {
    /// 2000-01-01 in seconds, and a thousand times as much, which is in 31,689.
    const SECONDS: std::ops::Range<i64> = 946_684_800..946_684_800_000;

    match (cursor, numbers) {
        (Exact::Text(text), _) => {
            let local = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
            let naive = local.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
            let zoned = || DateTime::parse_from_rfc3339(text).ok().map(Into::into);
            naive.map(|naive| naive.and_utc()).or_else(zoned)
        }
        (Exact::Integer(number), Numbers::Times) => [1, 1000, 1_000_000, 1_000_000_000]
            .into_iter()
            .find(|units| SECONDS.contains(&(number / units)))
            .and_then(|units: i64| DateTime::from_timestamp(number / units, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_ids_are_not() {
        let expected = DateTime::from_timestamp(1_767_225_600, 0);
        for text in ["2026-01-01 00:00:00", "2026-01-01T00:00:00.000", "2026-01-01T01:00:00+01:00"] {
            assert_eq!(time(&Exact::Text(text.into()), Numbers::Unknown), expected, "{text}");
        }
        for units in [1, 1000, 1_000_000, 1_000_000_000] {
            assert_eq!(time(&Exact::Integer(1_767_225_600 * units), Numbers::Times), expected, "{units}");
        }
        assert_eq!(time(&Exact::Integer(1_767_225_600), Numbers::Unknown), None);
        assert_eq!(time(&Exact::Text("v17".into()), Numbers::Times), None);
    }
}
