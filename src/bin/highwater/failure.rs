//! How a command ends that doesn't succeed: one line on stderr, and an exit status.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use highwater::checkpoint::HeldBy;
use highwater::{Error, ErrorKind};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's error.
    Library(Error),
    /// Another process holds the lease of this poller.
    HeldElsewhere(String, Option<HeldBy>),
    /// Something outside the library.
    Other(String, io::Error),
    /// Nobody reads the output any more: no failure at all.
    OutputClosed,
}

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
const HELD_ELSEWHERE: u8 = 3;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl Failure {
    /// Writes the line, and says with what status to exit.
    pub(crate) fn report(self) -> ExitCode {
        let (status, line) = match self {
            Self::OutputClosed => return ExitCode::SUCCESS,
            Self::Library(error) if error.kind() == ErrorKind::LeaseHeld => (HELD_ELSEWHERE, chain(&error)),
            Self::Library(error) => (FAILED, chain(&error)),
            Self::HeldElsewhere(poller, by) => (HELD_ELSEWHERE, held(&poller, by.as_ref())),
            Self::Other(what, error) => (FAILED, format!("{what}: {error}")),
        };
        eprintln!("highwater: {}", one_line(&line));
        ExitCode::from(status)
    }
}

/// The error and its causes.
fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

fn held(poller: &str, by: Option<&HeldBy>) -> String {
    let Some(by) = by else { return format!("the lease of `{poller}` is held elsewhere") };
    format!(
        "the lease of `{poller}` is held elsewhere, by {} until {}; try again later, or without --once to stand by",
        by.owner_id,
        by.expires_at.format("%FT%TZ")
    )
}

fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What clap has to say: help on stdout, anything wrong on stderr.
pub(crate) fn usage(error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    }
    eprint!("{}", without_secrets(error));
    ExitCode::from(WRONG_ARGUMENTS)
}

/// clap quotes what it can't take: a parameter's value, or a URL that stands in the wrong place.
fn without_secrets(mut error: clap::Error) -> String {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    if argument.starts_with("--param") {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    without_passwords(&error.render().to_string())
}

/// Hides what stands between the user's name and the last `@` of everything that looks like a URL, and all options.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let (url, options) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?***"));
        match url.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                let _ = write!(shown, "{user}:***@{host}{options}");
            }
            None => {
                let _ = write!(shown, "{url}{options}");
            }
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_parameter_without_a_name_is_not_quoted() {
        let words = "highwater tail --url sqlite::memory: --table t --cursor c --key id --checkpoints memory:// --name t \
                     --param s3cret";
        let error = Cli::try_parse_from(words.split_whitespace()).unwrap_err();
        let said = without_secrets(error);
        assert!(!said.contains("s3cret") && said.contains("NAME=VALUE"), "{said}");
    }

    #[test]
    fn passwords_in_misplaced_urls_are_hidden() {
        let shown = without_passwords("unexpected argument 'postgres://me:s3cr@t@host/db?sslpassword=x' found\n");
        assert_eq!(shown, "unexpected argument 'postgres://me:***@host/db?***' found\n");
        assert_eq!(without_passwords("no URL here"), "no URL here");
    }

    #[test]
    fn errors_fit_one_line() {
        assert_eq!(one_line("a\n  b\r\n\nc"), "a b c");
    }
}
