//! Connection strings: environment variables in them, their parts, and how to show them without passwords.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind};

/// A connection string, taken apart: `scheme://rest?option=value&...`.
///
/// `Display` and `Debug` hide what could be a password.
///
/// ```
/// use highwater::url::ConnectionUrl;
///
/// let url = ConnectionUrl::parse("postgres://me:secret@host/shop?sslmode=require")?;
/// assert_eq!(url.to_string(), "postgres://me:***@host/shop?sslmode=***");
/// # Ok::<(), highwater::Error>(())
/// ```
#[derive(Clone)]
pub struct ConnectionUrl {
    scheme: Box<str>,
    rest: Box<str>,
    options: Vec<(Box<str>, Box<str>)>,
}

impl ConnectionUrl {
    /// Reads a connection string. `%NAME%` stands for the environment variable `NAME`, percent-encoded; `%%`
    /// is a percent sign; `a%40b` stays what it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] where a variable isn't set or the text has no scheme.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    fn parse_with(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let text = expand(text, variable)?;
        let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "a database URL starts with its scheme, as in `sqlite://shop.db`")
        })?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let options = options.split('&').filter(|option| !option.is_empty()).map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            Ok((decode(name)?.into(), decode(value)?.into()))
        });
        Ok(Self {
            scheme: scheme.to_ascii_lowercase().into(),
            rest: rest.into(),
            options: options.collect::<Result<_, Error>>()?,
        })
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between the scheme and the options, decoded: the path of a file-based database.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] where the percent-encoding isn't UTF-8.
    pub fn path(&self) -> Result<Cow<'_, str>, Error> {
        decode(&self.rest)
    }

    /// The options in their order, decoded.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Without password: of `user:password@` the password is `***`, and options show their names only.
impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        // The last `@`: a password with an `@` of its own must not show its tail.
        match self.rest.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => write!(f, "{user}:***@{host}")?,
            _ => f.write_str(&self.rest)?,
        }
        for (index, (name, _)) in self.options.iter().enumerate() {
            write!(f, "{}{name}=***", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({self})")
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn decode(text: &str) -> Result<Cow<'_, str>, Error> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Error::new(ErrorKind::Configuration, "the URL's percent-encoding does not spell UTF-8"))
}

/// Replaces `%NAME%` by the variable's value and `%%` by a percent sign, both percent-encoded.
///
/// Two hexadecimal digits followed by another escape, as in `%C3%BC`, are percent-encoding and no name.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Error> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            expanded.push_str("%25");
            rest = after;
        } else if let Some((name, after)) = variable_name(rest) {
            let value = variable(name).ok_or_else(|| {
                let sentence = format!("the environment variable `{name}` is not set; `%%` writes a percent sign");
                Error::new(ErrorKind::Configuration, sentence)
            })?;
            expanded.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
            rest = after;
        } else {
            expanded.push('%');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Splits `NAME%rest`, if that is what the text starts with.
fn variable_name(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once('%')?;
    let named = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (named && !(is_escape(name) && name.len() == 2 && is_escape(after))).then_some((name, after))
}

fn is_escape(text: &str) -> bool {
    let mut digits = text.bytes().take(2).filter(u8::is_ascii_hexdigit);
    digits.next().is_some() && digits.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnectionUrl, Error> {
        ConnectionUrl::parse_with(text, &|name| match name {
            "DIR" => Some("/tmp/a b".to_owned()),
            "PASSWORD" => Some("p@ss?w%rd".to_owned()),
            "DB" => Some("shop".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_encoded_and_escapes_stay() {
        let path = |text: &str| parse(text).unwrap().path().unwrap().into_owned();
        assert_eq!(path("sqlite://%DIR%/shop.db"), "/tmp/a b/shop.db");
        assert_eq!(path("sqlite:%DB%.db"), "shop.db");
        assert_eq!(path("sqlite://a%40b.db"), "a@b.db");
        assert_eq!(path("sqlite://100%%.db"), "100%.db");
        assert_eq!(path("sqlite://%C3%BC.db"), "ü.db");
        assert_eq!(path("sqlite::memory:"), ":memory:");
        assert_eq!(path("sqlite:///var/50%.db"), "/var/50%.db");
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let error = parse("sqlite://%NOPE%/x.db").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("`NOPE`"), "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = parse("postgres://me:%PASSWORD%@host/db?sslpassword=x").unwrap();
        assert_eq!(url.to_string(), "postgres://me:***@host/db?sslpassword=***");
        let raw = parse("postgres://me:s3cret@@host/db").unwrap();
        assert!(!format!("{raw:?}").contains("s3cret"));
    }

    #[test]
    fn options_are_decoded() {
        let url = parse("sqlite://x.db?mode=ro&busy_timeout=5%30").unwrap();
        assert_eq!(url.options().collect::<Vec<_>>(), [("mode", "ro"), ("busy_timeout", "50")]);
    }
}
