//! The `highwater` command: a thin shell over the library.
//!
//! Exit status: 0 done, or stopped by a signal or by whoever read its output; 1 failed, and one line on stderr says
//! why and how to mend it, which includes settings that only the library can judge; 2 wrong arguments, as far as they
//! can be judged by themselves; 3 the lease is held elsewhere.

mod args;
mod changes;
mod checkpoint;
mod failure;
mod logging;
mod progress;
mod show;
mod signals;
mod tail;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Tail(args) => on_runtime(tail::run(*args)),
        Command::Checkpoint(command) => on_runtime(checkpoint::run(command)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "highwater", &mut script);
            show::print(&script)
        }
    }
}

/// One thread is enough: the database's and the files' work has threads of its own.
fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other("the runtime could not be started".to_owned(), error))?;
    runtime.block_on(work)
}
