//! `tallyboard push`: a snapshot for a Pushgateway.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use tallyboard_bridges::{Pushgateway, Receiver, Secret};
use tallyboard_exposition::escaping::Escaping;

use crate::flags::{duration, escaping, tls};
use crate::send::repeat;
use crate::send::source::SourceFlags;

/// Flags of `push`.
#[derive(Args, Clone, Debug)]
pub struct PushFlags {
    /// Where the gateway is: http:// or https://, HOST:PORT, and a path if it has one.
    // A text, because a mistake in it is shown without credentials.
    #[arg(value_name = "URL")]
    pub gateway: String,
    /// The job that the metrics are of.
    #[arg(long, value_name = "NAME")]
    pub job: String,
    /// A label of the grouping key, NAME=VALUE; repeatable, in the variable one on each line.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pairs)]
    pub grouping: Vec<Pairs>,
    /// What becomes of the group: put replaces it, post replaces the metrics of the same names in it,
    /// delete removes it.
    #[arg(long, value_name = "METHOD", default_value = "put")]
    pub method: Method,
    /// Push again and again in this interval (15s, 1m), and a last time at SIGTERM or SIGINT.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,
    /// Send what is pushed with gzip.
    #[arg(long)]
    pub gzip: bool,
    /// How names are written that are not made of letters, digits, _ and :. Underscores are for every
    /// gateway, allow-utf-8 for one that is told to take them.
    #[arg(long, value_name = "SCHEME", default_value = "underscores", value_parser = escaping())]
    pub escaping: Escaping,
    /// How long a push may take.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Name for basic authentication.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub username: Option<String>,
    /// File with the password for it; a line feed at its end is left out.
    #[arg(long, value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// File with the certificates to trust, in PEM [default: those that the system trusts].
    #[arg(long = "tls.ca", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// File with the certificate to show, in PEM.
    #[arg(long = "tls.cert", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with its key, in PEM and not encrypted.
    #[arg(long = "tls.key", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Push to wherever the gateway redirects.
    #[arg(long)]
    pub follow_redirects: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceFlags,
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// It is replaced.
    Put,
    /// Of it, the metrics of the same names are replaced.
    Post,
    /// It is removed.
    Delete,
}

/// Pushes.
///
/// # Errors
/// When flags contradict each other, there is no snapshot, or the gateway does not take it.
pub fn run(flags: &PushFlags) -> Result<ExitCode> {
    let is_delete = flags.method == Method::Delete;
    if flags.interval.is_some() {
        ensure!(
            !is_delete,
            "expected something to push again and again, found --method delete with --interval; \
             leave --interval out"
        );
        flags.source.must_repeat()?;
    }
    // What is wrong with the flags is said before anything is asked or sent.
    flags.pushgateway()?;
    repeat::run(flags.interval, || send(flags.clone()))
}

async fn send(flags: PushFlags) -> Result<()> {
    // Made each time: the files may have been replaced.
    let gateway = flags.pushgateway()?;
    if flags.method == Method::Delete {
        return Ok(gateway.delete().await?);
    }
    let source = flags.source.clone();
    let families = tokio::task::spawn_blocking(move || source.families()).await??;
    let is_added = flags.method == Method::Post;
    Ok(if is_added { gateway.push_add(&families).await } else { gateway.push(&families).await }?)
}

impl PushFlags {
    fn pushgateway(&self) -> Result<Pushgateway> {
        let url = match self.gateway.contains("://") {
            true => self.gateway.clone(),
            false => format!("http://{}", self.gateway),
        };
        let mut receiver = Receiver::new(&url)?.timeout(self.timeout);
        if let (Some(name), Some(file)) = (&self.username, &self.password_file) {
            receiver = receiver.basic_auth(name, &password(file)?);
        }
        if self.follow_redirects {
            receiver = receiver.follow_redirects();
        }
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        let is_plain = self.tls_ca.is_none() && identity.is_none();
        ensure!(
            is_plain || receiver.is_secure() || self.follow_redirects,
            "expected a URL with https:// where there is --tls.ca or --tls.cert, found {receiver}; \
             correct it, or leave these out"
        );
        let receiver = receiver.tls(tls(self.tls_ca.clone(), identity));
        let mut gateway = Pushgateway::at(receiver, &self.job)?.escaping(self.escaping);
        for (name, value) in self.grouping.iter().flat_map(|Pairs(pairs)| pairs) {
            gateway = gateway.grouping(name, value)?;
        }
        Ok(if self.gzip { gateway.gzip() } else { gateway })
    }
}

fn password(file: &Path) -> Result<Secret> {
    let read = Secret::from_file(file);
    read.with_context(|| format!("cannot read a password from {}", file.display()))
}

/// Labels, one on each line.
#[derive(Clone, Debug)]
pub struct Pairs(Vec<(String, String)>);

fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |line: &str| {
        let pair = line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| format!("expected NAME=VALUE, found {line:?}; give the label a value"))
    };
    let pairs: Vec<_> =
        text.lines().filter(|line| !line.is_empty()).map(pair).collect::<Result<_, _>>()?;
    if pairs.is_empty() {
        return Err("expected NAME=VALUE, found nothing; give a label and its value".to_owned());
    }
    Ok(Pairs(pairs))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: PushFlags,
    }

    fn read(more: &[&str]) -> PushFlags {
        let line = [&["push", "http://me:secret@gateway:9091", "--job", "j"], more].concat();
        Line::try_parse_from(line).unwrap().flags
    }

    #[test]
    fn flags_become_a_group() {
        let flags = read(&["--grouping", "b=1,2", "--grouping=a=x=y\r\nc=\n"]);
        let shown = flags.pushgateway().unwrap().to_string();
        assert_eq!(shown, "http://gateway:9091/metrics/job/j/a/x%3Dy/b/1%2C2/c@base64/=");
        assert_eq!((flags.method, flags.timeout), (Method::Put, Duration::from_secs(30)));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_without_a_secret() {
        let file = std::env::temp_dir().join(format!("tallyboard-password-{}", std::process::id()));
        std::fs::write(&file, "se cret\r\n").unwrap();
        assert_eq!(password(&file).unwrap().reveal(), "se cret");
        std::fs::remove_file(&file).unwrap();
        for (more, expect) in [
            (&["--method", "delete", "--interval", "1s"][..], "leave --interval out"),
            (&["--from", "-", "--interval", "1s"], "leave --interval out"),
            (&["--grouping", "job=x"], "which is the name of the job"),
            (&["--grouping", "a=1", "--grouping", "a=2"], "which is in it already"),
            (&["--tls.ca", "ca.pem"], "found http://gateway:9091; correct it"),
            (&["--username", "a", "--password-file", file.to_str().unwrap()], "a password from"),
        ] {
            let error = format!("{:#}", run(&read(more)).unwrap_err());
            assert!(error.contains(expect) && !error.contains("secret"), "{more:?}: {error}");
        }
    }
}
