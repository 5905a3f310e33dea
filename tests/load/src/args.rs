//! `--name value` pairs, each taken by the command that knows it; what is left over is an error.

use std::{
    fmt::Display,
    io,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

/// Those that stand alone.
const FLAGS: [&str; 1] = ["json"];

pub(crate) struct Args(Vec<(String, String)>);

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut pairs = Vec::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--");
            let name = name.ok_or_else(|| usage(format!("{word}: an option begins with --")))?;
            let value = if FLAGS.contains(&name) {
                Some(String::new())
            } else {
                words.next()
            };
            let value = value.ok_or_else(|| usage(format!("{word} needs a value")))?;
            pairs.push((name.to_owned(), value));
        }
        Ok(Self(pairs))
    }

    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let taken = self.0.extract_if(.., |(known, _)| known == name);
        taken.map(|(_, value)| value).collect()
    }

    /// The last one counts, so that a script's defaults can be overridden.
    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        self.one(name).is_some()
    }

    pub(crate) fn or<T: FromStr<Err: Display>>(&mut self, name: &str, none: T) -> io::Result<T> {
        self.one(name).map_or(Ok(none), |value| parse(name, &value))
    }

    pub(crate) fn seconds(&mut self, name: &str, none: f64) -> io::Result<Duration> {
        let seconds = self.or(name, none)?;
        Duration::try_from_secs_f64(seconds).map_err(|error| usage(format!("--{name}: {error}")))
    }

    pub(crate) fn numbers(&mut self, name: &str) -> io::Result<Vec<u32>> {
        self.all(name)
            .iter()
            .map(|value| parse(name, value))
            .collect()
    }

    /// `tcp://host:port`, or without the scheme.
    pub(crate) fn address(&mut self, name: &str) -> io::Result<Option<SocketAddr>> {
        let Some(uri) = self.one(name) else {
            return Ok(None);
        };
        let host = uri.strip_prefix("tcp://").unwrap_or(&uri);
        let mut found = host
            .to_socket_addrs()
            .map_err(|error| usage(format!("--{name} {uri}: {error}")))?;
        Ok(found.next())
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self.0.first() {
            Some((name, _)) => Err(usage(format!("--{name} is not known here"))),
            None => Ok(()),
        }
    }
}

pub(crate) fn usage(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

fn parse<T: FromStr<Err: Display>>(name: &str, value: &str) -> io::Result<T> {
    value
        .parse()
        .map_err(|error| usage(format!("--{name} {value}: {error}")))
}
