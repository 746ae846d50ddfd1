//! `highwater tail`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater::{
    AnyDatabase, Batch, BoxCheckpoints, BoxSource, Ending, Error, HandlerError, PollContext, Poller, PollerName,
};

use crate::args::TailArgs;
use crate::changes::Printer;
use crate::failure::Failure;
use crate::logging;
use crate::progress::{Numbers, Progress};
use crate::signals::Stop;

/// How long a batch may take after the signal to stop: within the half minute that supervisors commonly wait.
const GRACE: Duration = Duration::from_secs(25);

pub(crate) async fn run(args: TailArgs) -> Result<(), Failure> {
    logging::start();
    let stop = Stop::listen()?;
    PollerName::new(&args.poller.name)?;
    let opened = tokio::select! {
        opened = open(&args) => opened,
        () = stop.clone().requested() => return Ok(()),
    };
    let (db, source, store) = opened?;
    let printer = Printer::start()?;
    let progress = Progress::new(if args.source.lag.is_some() { Numbers::Times } else { Numbers::Unknown });
    let outcome = {
        let follow = Box::pin(follow(&args, source, store, stop, (&printer, &progress)));
        tokio::select! {
            outcome = follow => outcome,
            () = progress.keep_showing() => Ok(()),
        }
    };
    progress.end();
    db.close().await;
    if printer.is_closed() { Err(Failure::OutputClosed) } else { outcome }
}

async fn open(args: &TailArgs) -> Result<(AnyDatabase, BoxSource, BoxCheckpoints), Error> {
    let db = AnyDatabase::connect(&args.source.url).await?;
    let source = db.source(args.source.spec(&args.poller.name))?;
    let store = args.poller.store.spec().open()?;
    Ok((db, source, store))
}

async fn follow(
    args: &TailArgs,
    source: BoxSource,
    store: BoxCheckpoints,
    stop: Stop,
    (printer, progress): (&Printer, &Progress),
) -> Result<(), Failure> {
    let token = AtomicU64::new(0);
    let builder = Poller::builder(&args.poller.name)
        .source(source)
        .checkpoints(store)
        .batch_size(args.batch_size)
        .lease_ttl(args.lease_ttl)
        .handler(async |batch: Batch, context: &PollContext| {
            if token.swap(context.fencing_token(), Ordering::Relaxed) != context.fencing_token() {
                let (token, owner) = (context.fencing_token(), context.lease_owner());
                tracing::info!(poller = context.poller(), fencing_token = token, owner, "holding the lease");
            }
            let (rows, time) = (batch.len(), progress.time_of(&batch));
            printer.print(batch).await.map_err(Unprinted)?;
            progress.printed(rows, time);
            Ok::<(), HandlerError>(())
        });
    if !args.once {
        let poller = builder.build();
        let run = poller.every(args.interval).grace(GRACE).with_graceful_shutdown(stop.requested());
        return Ok(run.run().await.map(drop)?);
    }
    // All batches in one tick: the source is drained, under one lease.
    let poller = builder.max_batches_per_tick(u32::MAX).build();
    let report = poller.tick_until(stop.requested(), GRACE).await?;
    match report.ending() {
        Ending::HeldElsewhere => Err(Failure::HeldElsewhere(args.poller.name.clone(), report.held_by().cloned())),
        _ => Ok(()),
    }
}

/// That the lines could not be printed, in words.
#[derive(Debug, thiserror::Error)]
#[error("stdout could not be written")]
struct Unprinted(#[source] std::io::Error);
