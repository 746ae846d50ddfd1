//! `highwater checkpoint`: what operators do.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use highwater::checkpoint::{Adoption, CheckpointStore as _, CloneStream, ResetTo};
use highwater::clock::SystemClock;
use highwater::{
    AnyDatabase, BoxCheckpoints, Error, ErrorKind, Operator, PollerName, Position, Source as _, StateDocument,
    StoreSpec,
};

use crate::args::{CheckpointCommand, PollerArgs, Rehearsal, SourceArgs, StoreArgs};
use crate::failure::Failure;
use crate::{logging, show};

pub(crate) async fn run(command: CheckpointCommand) -> Result<(), Failure> {
    logging::start();
    match command {
        CheckpointCommand::List { store, json } => list(&store, json).await,
        CheckpointCommand::Show { poller, json } => {
            let (operator, name) = open(&poller)?;
            let document = operator.show(&name).await?.ok_or_else(|| absent(&name))?;
            show::document(&document, json)
        }
        CheckpointCommand::Reset { poller, to, rehearsal } => reset(&poller, &to, rehearsal).await,
        CheckpointCommand::Clone { poller, to, keep_stream_id, rehearsal } => {
            let (operator, name) = open(&poller)?;
            let copy = PollerName::new(&to)?;
            let stream = if keep_stream_id { CloneStream::Keep } else { CloneStream::New };
            let document = rehearsing(operator, rehearsal).clone_to(&name, &copy, stream).await?;
            let stream = if keep_stream_id { "with the same event ids" } else { "with event ids of its own" };
            show::outcome(&document, &format!("a copy of `{name}`, {stream}"), rehearsal)
        }
        CheckpointCommand::Export { poller, file } => export(&poller, &file).await,
        CheckpointCommand::Import { poller, file, rehearsal } => {
            let document = read(&file)?;
            let operator = rehearsing(operator(open_for_import(&poller.store, rehearsal)?), rehearsal);
            let document = operator.import(&PollerName::new(&poller.name)?, &document).await?;
            show::outcome(&document, "imported", rehearsal)
        }
        CheckpointCommand::Adopt { poller, source, rehearsal } => adopt(&poller, &source, rehearsal).await,
    }
}

async fn list(store: &StoreArgs, json: bool) -> Result<(), Failure> {
    let store = Arc::new(store.spec().open_existing()?);
    let operator = Operator::new(Arc::clone(&store), Arc::new(SystemClock::new()));
    let (mut found, mut page) = (Vec::new(), None);
    loop {
        let listed = store.list(page.as_ref()).await?;
        for name in listed.names {
            // One that can't be read must not hide the others.
            let document = operator.show(&name).await;
            if let Ok(None) = document {
                continue;
            }
            found.push((name, document.map(|document| document.expect("absent ones are skipped"))));
        }
        page = listed.next;
        if page.is_none() {
            return show::list(&found, json);
        }
    }
}

async fn reset(poller: &PollerArgs, to: &str, rehearsal: Rehearsal) -> Result<(), Failure> {
    let (operator, name) = open(poller)?;
    let (to, what) = destination(to)?;
    let before = operator.show(&name).await?;
    let document = rehearsing(operator, rehearsal).reset(&name, to).await?;
    show::outcome(&document, what, rehearsal)?;
    let before = before.as_ref().and_then(StateDocument::position);
    before.map_or(Ok(()), show::before)
}

/// `beginning`, a position in JSON, or an exported file.
fn destination(to: &str) -> Result<(ResetTo, &'static str), Failure> {
    if to == "beginning" {
        return Ok((ResetTo::Beginning, "reset to the beginning"));
    }
    if to.trim_start().starts_with('{') {
        let position: Position = serde_json::from_str(to).map_err(|_| {
            let sentence =
                "the text given to --to is no position; it is what `checkpoint show --json` has in `position`";
            Error::new(ErrorKind::Configuration, sentence)
        })?;
        return Ok((ResetTo::Position(position), "reset to a position"));
    }
    let document = StateDocument::from_json(&read(Path::new(to))?)?;
    Ok((ResetTo::Document(Box::new(document)), "reset to where the document stands"))
}

async fn export(poller: &PollerArgs, file: &Path) -> Result<(), Failure> {
    let (operator, name) = open(poller)?;
    let mut document = operator.export(&name).await?;
    document.push(b'\n');
    if file == Path::new("-") {
        return show::print(&document);
    }
    let failed = |error| Failure::Other(format!("`{}` could not be written", file.display()), error);
    std::fs::write(file, document).map_err(failed)
}

async fn adopt(poller: &PollerArgs, source: &SourceArgs, rehearsal: Rehearsal) -> Result<(), Failure> {
    let (operator, name) = open(poller)?;
    let db = AnyDatabase::connect(&source.url).await?;
    let source = db.source(source.spec(&poller.name))?;
    for warning in source.validate().await? {
        tracing::warn!("{warning}");
    }
    let adopted = rehearsing(operator, rehearsal).adopt(&name, source.descriptor()).await;
    db.close().await;
    let Adoption { differences, before, document, .. } = adopted?;
    let what = match (before, differences.is_empty()) {
        (None, _) => "bound to its source for the first time".to_owned(),
        (Some(_), true) => "bound to the same source as before".to_owned(),
        (Some(_), false) => format!("bound to the source as it is now: {}", differences.join("; ")),
    };
    show::outcome(&document, &what, rehearsal)
}

/// A poller in a store that is there: nothing is created for a slip in its URL.
fn open(poller: &PollerArgs) -> Result<(Operator<BoxCheckpoints>, PollerName), Failure> {
    let name = PollerName::new(&poller.name)?;
    Ok((operator(poller.store.spec().open_existing()?), name))
}

/// A rehearsal creates no folder: nothing is there yet is what a store in memory says, too.
fn open_for_import(store: &StoreArgs, rehearsal: Rehearsal) -> Result<BoxCheckpoints, Error> {
    if !rehearsal.dry_run {
        return store.spec().open();
    }
    match store.spec().open_existing() {
        Err(error) if error.kind() == ErrorKind::NotFound => StoreSpec::new("memory://").open(),
        opened => opened,
    }
}

fn operator(store: BoxCheckpoints) -> Operator<BoxCheckpoints> {
    Operator::new(Arc::new(store), Arc::new(SystemClock::new()))
}

fn rehearsing<C>(operator: Operator<C>, rehearsal: Rehearsal) -> Operator<C> {
    if rehearsal.dry_run { operator.rehearsing() } else { operator }
}

fn absent(name: &PollerName) -> Error {
    let message = "there is no state of this poller in the store; `checkpoint list` shows those that have one";
    Error::new(ErrorKind::NotFound, message).with_poller(name.as_str())
}

/// A whole file, or stdin for `-`.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        let failed = |error| Failure::Other("stdin could not be read".to_owned(), error);
        io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    let failed = |error| Failure::Other(format!("`{}` could not be read", file.display()), error);
    std::fs::read(file).map_err(failed)
}
