//! Where metrics are sent from a supervisor: OTLP and remote write. What is wrong with a flag, a
//! variable or a file is found before anything forks.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgAction, Args, ValueEnum};
use tallyboard_bridges::export::figures::Figures;
use tallyboard_bridges::export::{self, Source, Target};
use tallyboard_bridges::otlp::environment::Environment;
use tallyboard_bridges::remote_write::Version;
use tallyboard_bridges::{Otlp, Receiver, RemoteWrite, Secret};
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_supervisor::outlet::LAST_EXPORT;
use tallyboard_supervisor::{Label, Labels, Outlet, Snapshots};

use crate::flags::{Switch, duration, tls};

/// How often to export when neither flag nor variable says it.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);
/// How long an export has for the last snapshot, a little less than its supervisor waits for it.
const LAST: Duration = LAST_EXPORT.saturating_sub(Duration::from_millis(500));

/// Flags of `serve` and `exec` that say where metrics are sent.
#[derive(Args, Clone, Debug)]
pub struct ExportFlags {
    /// Send all metrics to this OTLP receiver: a base URL, below which /v1/metrics is, or `env` for
    /// the one that OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says, else
    /// http://localhost:4318. Without this flag nothing is sent, whatever the environment has for the
    /// application; with it, OTEL_* variables count wherever a flag says nothing.
    #[arg(long = "otlp.endpoint", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// A header of every request, NAME=VALUE; repeatable, in the variable one on each line.
    #[arg(long = "otlp.header", value_name = "NAME=VALUE", requires = "otlp_endpoint")]
    pub otlp_headers: Vec<Header>,
    /// Time from one export to the next [default: OTEL_METRIC_EXPORT_INTERVAL, else 15s].
    #[arg(long = "otlp.interval", value_name = "TIME", requires = "otlp_endpoint", value_parser = duration)]
    pub otlp_interval: Option<Duration>,
    /// How long a request may take [default: OTEL_EXPORTER_OTLP_TIMEOUT, else 10s].
    #[arg(long = "otlp.timeout", value_name = "TIME", requires = "otlp_endpoint", value_parser = duration)]
    pub otlp_timeout: Option<Duration>,
    /// An attribute of the resource, NAME=VALUE, before those of OTEL_SERVICE_NAME,
    /// OTEL_RESOURCE_ATTRIBUTES and --target-info; repeatable.
    #[arg(
        long = "otlp.resource-attribute",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        requires = "otlp_endpoint"
    )]
    pub otlp_attributes: Vec<Attribute>,
    /// How requests are compressed [default: OTEL_EXPORTER_OTLP_COMPRESSION, else none].
    #[arg(long = "otlp.compression", value_name = "CODING", requires = "otlp_endpoint")]
    pub otlp_compression: Option<Compression>,
    /// A file with the certificates to trust, in PEM [default: OTEL_EXPORTER_OTLP_CERTIFICATE, else
    /// those that the system trusts].
    #[arg(long = "otlp.tls.ca", value_name = "FILE", requires = "otlp_endpoint")]
    pub otlp_ca: Option<PathBuf>,
    /// A file with the certificate to show, in PEM.
    #[arg(
        long = "otlp.tls.cert",
        value_name = "FILE",
        requires = "otlp_endpoint",
        requires = "otlp_key"
    )]
    pub otlp_cert: Option<PathBuf>,
    /// A file with its key, in PEM.
    #[arg(
        long = "otlp.tls.key",
        value_name = "FILE",
        requires = "otlp_endpoint",
        requires = "otlp_cert"
    )]
    pub otlp_key: Option<PathBuf>,
    /// Send all metrics to this receiver of remote write, with its whole path; a name and a password
    /// may stand before the host.
    #[arg(long = "remote-write.url", value_name = "URL")]
    pub write_url: Option<String>,
    /// A header of every request, NAME=VALUE; repeatable, in the variable one on each line.
    #[arg(long = "remote-write.header", value_name = "NAME=VALUE", requires = "write_url")]
    pub write_headers: Vec<Header>,
    /// Time from one export to the next.
    #[arg(
        long = "remote-write.interval",
        value_name = "TIME",
        default_value = "15s",
        value_parser = duration
    )]
    pub write_interval: Duration,
    /// How long a request may take.
    #[arg(
        long = "remote-write.timeout",
        value_name = "TIME",
        default_value = "30s",
        value_parser = duration
    )]
    pub write_timeout: Duration,
    /// A label of every series that has none of this name, NAME=VALUE; repeatable. Several hosts that
    /// write to one store need one that tells them apart.
    #[arg(
        long = "remote-write.external-label",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        requires = "write_url"
    )]
    pub write_labels: Vec<Label>,
    /// Version of remote write: 1.0, or 2.0, which falls back to 1.0 where it is not read.
    #[arg(long = "remote-write.version", value_name = "VERSION", default_value = "1.0")]
    pub write_version: Version,
    /// Whether native histograms are sent as such, on or off: a Prometheus that has them switched off
    /// refuses them. When off, their classic buckets are sent, or count and sum.
    #[arg(
        long = "remote-write.native-histograms",
        value_name = "SWITCH",
        default_value = "off",
        action = ArgAction::Set,
        value_parser = Switch
    )]
    pub write_native: bool,
    /// A name for basic authentication.
    #[arg(
        long = "remote-write.username",
        value_name = "NAME",
        requires = "write_url",
        requires = "write_password_file"
    )]
    pub write_username: Option<String>,
    /// A file with its password; a line end behind it is left out.
    #[arg(
        long = "remote-write.password-file",
        value_name = "FILE",
        requires = "write_url",
        requires = "write_username"
    )]
    pub write_password_file: Option<PathBuf>,
    /// A file with the certificates to trust, in PEM [default: those that the system trusts].
    #[arg(long = "remote-write.tls.ca", value_name = "FILE", requires = "write_url")]
    pub write_ca: Option<PathBuf>,
    /// A file with the certificate to show, in PEM.
    #[arg(
        long = "remote-write.tls.cert",
        value_name = "FILE",
        requires = "write_url",
        requires = "write_key"
    )]
    pub write_cert: Option<PathBuf>,
    /// A file with its key, in PEM.
    #[arg(
        long = "remote-write.tls.key",
        value_name = "FILE",
        requires = "write_url",
        requires = "write_cert"
    )]
    pub write_key: Option<PathBuf>,
}

/// What a flag says of a header. It is taken apart later: what is wrong with it is not to be shown, as
/// all of it may be a token.
#[derive(Clone, Debug)]
pub struct Header(Secret);

impl FromStr for Header {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl Header {
    /// A variable has one on each line.
    fn add_to(&self, receiver: Receiver) -> Result<Receiver> {
        let wanted = "a header is NAME=VALUE; for example x-scope-orgid=shop";
        let mut lines = self.0.reveal().lines().filter(|line| !line.trim().is_empty()).peekable();
        lines.peek().context(wanted)?;
        lines.try_fold(receiver, |receiver, line| {
            let pair = line.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) = pair.context(wanted)?;
            Ok(receiver.header(name, value)?)
        })
    }
}

/// An attribute of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    name: String,
    value: String,
}

impl FromStr for Attribute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let wrong =
            || format!("an attribute is NAME=VALUE, found {text:?}; for example service.name=shop");
        let (name, value) = pair.ok_or_else(wrong)?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// With gzip.
    Gzip,
    /// Not at all.
    None,
}

/// Whose metrics are sent, as OpenTelemetry calls it.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    instance: String,
}

impl Service {
    /// A service with this name; the arena of this name is its instance on this host.
    #[must_use]
    pub fn new(name: String, arena: &str) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { name, instance: format!("{}:{arena}", host.trim()) }
    }
}

impl ExportFlags {
    /// Those who send metrics where the flags say.
    ///
    /// # Errors
    /// When a flag, a variable or a file cannot be used.
    pub fn outlets(&self, service: &Service) -> Result<Vec<Arc<dyn Outlet>>> {
        let mut outlets: Vec<Arc<dyn Outlet>> = Vec::new();
        if let Some(endpoint) = &self.otlp_endpoint {
            let environment = Environment::default();
            let base = Some(endpoint.as_str()).filter(|endpoint| *endpoint != "env");
            outlets.push(self.otlp(&environment, base, service).context("--otlp.endpoint")?);
        }
        if let Some(url) = &self.write_url {
            outlets.push(self.remote_write(url).context("--remote-write.url")?);
        }
        Ok(outlets)
    }

    fn otlp(
        &self,
        environment: &Environment,
        base: Option<&str>,
        service: &Service,
    ) -> Result<Arc<dyn Outlet>> {
        let mut receiver = environment.receiver(base)?;
        for header in &self.otlp_headers {
            receiver = header.add_to(receiver).context("--otlp.header")?;
        }
        // A variable is not looked at where a flag comes instead.
        let timeout = match self.otlp_timeout {
            Some(timeout) => timeout,
            None => environment.timeout()?,
        };
        let ca = match &self.otlp_ca {
            Some(ca) => Some(ca.clone()),
            None => environment.authority()?,
        };
        let identity = match self.otlp_cert.clone().zip(self.otlp_key.clone()) {
            Some(identity) => Some(identity),
            None => environment.identity()?,
        };
        let receiver = receiver.timeout(timeout).tls(tls(ca, identity));
        receiver.prepare()?;
        let mut otlp = Otlp::new(receiver);
        for Attribute { name, value } in &self.otlp_attributes {
            otlp = otlp.attribute(name, value);
        }
        for (name, value) in environment.attributes()? {
            otlp = otlp.attribute(&name, &value);
        }
        otlp = otlp.attribute("service.name", &service.name);
        otlp = otlp.attribute("service.instance.id", &service.instance);
        let is_compressed = match self.otlp_compression {
            Some(compression) => compression == Compression::Gzip,
            None => environment.is_compressed()?.unwrap_or(false),
        };
        let target = if is_compressed { otlp.gzip() } else { otlp };
        let interval = match self.otlp_interval {
            Some(interval) => interval,
            None => environment.interval()?.unwrap_or(DEFAULT_INTERVAL),
        };
        Ok(Arc::new(Export::new("export-otlp", target, interval)))
    }

    fn remote_write(&self, url: &str) -> Result<Arc<dyn Outlet>> {
        let mut receiver = Receiver::new(url)?.timeout(self.write_timeout);
        if let (Some(name), Some(file)) = (&self.write_username, &self.write_password_file) {
            let password = Secret::from_file(file).with_context(|| {
                format!("cannot read --remote-write.password-file {}", file.display())
            })?;
            receiver = receiver.basic_auth(name, &password);
        }
        for header in &self.write_headers {
            receiver = header.add_to(receiver).context("--remote-write.header")?;
        }
        let identity = self.write_cert.clone().zip(self.write_key.clone());
        let receiver = receiver.tls(tls(self.write_ca.clone(), identity));
        receiver.prepare()?;
        let labels = Labels::new(self.write_labels.clone());
        let labels = labels.context("--remote-write.external-label")?;
        let target = RemoteWrite::new(receiver)
            .version(self.write_version)
            .native_histograms(self.write_native);
        let target =
            labels.pairs().fold(target, |target, (name, value)| target.external_label(name, value));
        Ok(Arc::new(Export::new("export-write", target, self.write_interval)))
    }
}

/// An outlet of the supervisor that is an export of the bridges.
#[derive(Debug)]
struct Export<T> {
    name: &'static str,
    target: T,
    interval: Duration,
    figures: Figures,
}

impl<T: Target> Export<T> {
    fn new(name: &'static str, target: T, interval: Duration) -> Self {
        Self { name, target, interval, figures: Figures::new(T::KIND) }
    }
}

impl<T: Target + std::fmt::Debug + Send + Sync> Outlet for Export<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, snapshots: Snapshots) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "cannot start the runtime of an export"),
        };
        let stopped = snapshots.stopped();
        let source = Arena(snapshots);
        let end = (stopped, LAST);
        runtime.block_on(export::run(source, &self.target, self.interval, &self.figures, end));
        // The look-up of a name that is under way cannot be ended, and is not waited for.
        runtime.shutdown_background();
    }

    fn families(&self) -> Vec<FamilySamples> {
        self.figures.families()
    }
}

/// The arena of the supervisor, as the source of an export.
struct Arena(Snapshots);

impl Source for Arena {
    async fn snapshot(&mut self) -> Option<Arc<Vec<FamilySamples>>> {
        self.0.take().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_pair_and_its_value_is_not_said() {
        let add = |text: &str| {
            let header: Header = text.parse().unwrap_or_else(|never| match never {});
            assert!(!format!("{header:?}").contains("secret"));
            header.add_to(Receiver::new("http://localhost").expect("a URL"))
        };
        add("x-token=se=cret").expect("a header");
        add("x-token=secret\r\nx-other=1\n\n").expect("two headers");
        for bad in [
            "secret",
            "=secret",
            "",
            "a b=secret",
            "a=secret\u{7}",
            "Authorization: Basic secret==",
        ] {
            let error = crate::errors::text_of(&add(bad).expect_err("no header"));
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
