//! The variables that OpenTelemetry has specified for exporters
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>,
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! Rules. 1: a variable that is empty is not set. 2: one for metrics alone wins over the one for all
//! signals, each for itself. 3: a value that cannot be used is an error that names its variable: a
//! program that starts with less than what was asked for is found out later.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::receiver::{Receiver, ReceiverError, shown};

/// Where OpenTelemetry's own exporters send to when nothing is said.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// How long an exchange may take when nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a timeout of 0 is, which stands for none: everything has an end here.
const NO_TIMEOUT: Duration = Duration::from_secs(86_400);
/// Below the base URL that all signals have.
const PATH: &str = "/v1/metrics";

/// A variable whose value cannot be used.
#[derive(Debug, Error)]
#[error("{variable}: expected {expected}, found {found}; correct it or unset it")]
pub struct EnvironmentError {
    /// Its name.
    pub variable: String,
    /// What was expected.
    pub expected: String,
    /// What was found, without what may be a secret.
    pub found: String,
}

/// Variables, by name.
#[derive(Clone, Copy, Debug)]
pub struct Environment(fn(&str) -> Option<OsString>);

impl Default for Environment {
    /// Those of this process.
    fn default() -> Self {
        Self(|name| env::var_os(name))
    }
}

/// The value of a variable, with its name.
struct Found {
    variable: String,
    value: String,
}

impl Found {
    fn error(&self, expected: &str, found: &str) -> EnvironmentError {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        EnvironmentError { variable: self.variable.clone(), expected, found }
    }

    fn wrong(&self, expected: &str) -> EnvironmentError {
        self.error(expected, &format!("{:?}", self.value))
    }
}

impl Environment {
    /// Variables that are looked up this way.
    #[must_use]
    pub fn new(variable: fn(&str) -> Option<OsString>) -> Self {
        Self(variable)
    }

    /// Where metrics are sent: below the base URL `base`, or, without one, to where
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` leads as it is, or below `OTEL_EXPORTER_OTLP_ENDPOINT`.
    /// What the variables say of protocol and temporality is only looked at without `base`.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the variable that cannot be used; one about `base` calls it that.
    pub fn receiver(&self, base: Option<&str>) -> Result<Receiver, EnvironmentError> {
        let receiver = match base {
            Some(base) => below(base).map_err(|error| url_error("the endpoint", base, &error))?,
            None => {
                self.check_form()?;
                self.endpoint()?
            }
        };
        self.headers()?.into_iter().try_fold(receiver, |receiver, header| {
            let Header { from, name, value } = header;
            let found = |error| match error {
                ReceiverError::Header { found } => found,
                other => other.to_string(),
            };
            let wrong = |error| from.error("headers as NAME=VALUE", &found(error));
            receiver.header(&name, &value).map_err(wrong)
        })
    }

    fn endpoint(&self) -> Result<Receiver, EnvironmentError> {
        if let Some(found) = self.find("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")? {
            let receiver = Receiver::new(&found.value);
            return receiver.map_err(|error| url_error(&found.variable, &found.value, &error));
        }
        let found = self.find("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        let (variable, url) = match &found {
            Some(found) => (&*found.variable, &*found.value),
            None => ("OTEL_EXPORTER_OTLP_ENDPOINT", DEFAULT_ENDPOINT),
        };
        let receiver = Receiver::new(url).map_err(|error| url_error(variable, url, &error))?;
        Ok(receiver.at(PATH))
    }

    /// Refuses what is asked for and not spoken here.
    fn check_form(&self) -> Result<(), EnvironmentError> {
        if let Some(found) = self.find_for_metrics("PROTOCOL")?
            && found.value != "http/protobuf"
        {
            return Err(found.wrong("http/protobuf, which is what is spoken here"));
        }
        let preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        match self.find(preference)? {
            Some(found) if !found.value.eq_ignore_ascii_case("cumulative") => {
                Err(found.wrong("cumulative, which is what snapshots are"))
            }
            _ => Ok(()),
        }
    }

    fn headers(&self) -> Result<Vec<Header>, EnvironmentError> {
        let Some(found) = self.find_for_metrics("HEADERS")? else { return Ok(Vec::new()) };
        let mut headers = Vec::new();
        for member in found.value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            // A member without a name may be a secret as a whole.
            let pair = member.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let wrong =
                || found.error("headers as NAME=VALUE, separated by commas", "another text");
            let (name, value) = pair.ok_or_else(wrong)?;
            let decoded = |text: &str| {
                let decoded = percent_decode_str(text.trim()).decode_utf8();
                decoded.map(Cow::into_owned).map_err(|_| wrong())
            };
            let from = Found { variable: found.variable.clone(), value: String::new() };
            headers.push(Header { name: decoded(name)?, value: decoded(value)?, from });
        }
        Ok(headers)
    }

    /// How long an exchange may take.
    ///
    /// # Errors
    /// [`EnvironmentError`] for what is no number of milliseconds.
    pub fn timeout(&self) -> Result<Duration, EnvironmentError> {
        match self.find_for_metrics("TIMEOUT")?.map(|found| milliseconds(&found)).transpose()? {
            None => Ok(DEFAULT_TIMEOUT),
            Some(Duration::ZERO) => Ok(NO_TIMEOUT),
            Some(timeout) => Ok(timeout),
        }
    }

    /// Whether what is sent is compressed; `None` when nobody said.
    ///
    /// # Errors
    /// [`EnvironmentError`] for another coding than gzip.
    pub fn is_compressed(&self) -> Result<Option<bool>, EnvironmentError> {
        let Some(found) = self.find_for_metrics("COMPRESSION")? else { return Ok(None) };
        match &*found.value {
            "gzip" => Ok(Some(true)),
            "none" => Ok(Some(false)),
            _ => Err(found.wrong("gzip or none")),
        }
    }

    /// The file with the certificates to trust, where something was said of it.
    ///
    /// # Errors
    /// [`EnvironmentError`] for what is no text.
    pub fn authority(&self) -> Result<Option<PathBuf>, EnvironmentError> {
        Ok(self.find_for_metrics("CERTIFICATE")?.map(|found| found.value.into()))
    }

    /// The files with the certificate to show and its key, where something was said of them.
    ///
    /// # Errors
    /// [`EnvironmentError`] for a certificate without its key, or the other way round.
    pub fn identity(&self) -> Result<Option<(PathBuf, PathBuf)>, EnvironmentError> {
        let certificate = self.find_for_metrics("CLIENT_CERTIFICATE")?;
        let key = self.find_for_metrics("CLIENT_KEY")?;
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Ok(Some((certificate.value.into(), key.value.into())))
            }
            (Some(certificate), None) => Err(certificate.error("a client key beside it", "none")),
            (None, Some(key)) => Err(key.error("a client certificate beside it", "none")),
        }
    }

    /// How often to export, when somebody said.
    ///
    /// # Errors
    /// [`EnvironmentError`] for what is no number of milliseconds from 1 on.
    pub fn interval(&self) -> Result<Option<Duration>, EnvironmentError> {
        let Some(found) = self.find("OTEL_METRIC_EXPORT_INTERVAL")? else { return Ok(None) };
        match milliseconds(&found)? {
            Duration::ZERO => Err(found.wrong("a number of milliseconds from 1 on")),
            interval => Ok(Some(interval)),
        }
    }

    /// What is said of the resource.
    ///
    /// # Errors
    /// [`EnvironmentError`] when a part of it cannot be read.
    pub fn attributes(&self) -> Result<Vec<(String, String)>, EnvironmentError> {
        let mut attributes = Vec::new();
        if let Some(name) = self.find("OTEL_SERVICE_NAME")? {
            attributes.push(("service.name".to_owned(), name.value));
        }
        let Some(found) = self.find("OTEL_RESOURCE_ATTRIBUTES")? else { return Ok(attributes) };
        for member in found.value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let pair = member.split_once('=').filter(|(_, value)| !value.contains('='));
            let pair = pair
                .and_then(|(name, value)| Some((decoded(name.trim())?, decoded(value.trim())?)));
            let pair = pair.filter(|(name, _)| !name.is_empty());
            let wrong =
                || found.wrong("NAME=VALUE, separated by commas, with , and = as %2C and %3D");
            attributes.push(pair.ok_or_else(wrong)?);
        }
        Ok(attributes)
    }

    fn find_for_metrics(&self, name: &str) -> Result<Option<Found>, EnvironmentError> {
        match self.find(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"))? {
            Some(found) => Ok(Some(found)),
            None => self.find(&format!("OTEL_EXPORTER_OTLP_{name}")),
        }
    }

    fn find(&self, variable: &str) -> Result<Option<Found>, EnvironmentError> {
        let Some(value) = (self.0)(variable).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let variable = variable.to_owned();
        match value.into_string() {
            Ok(value) => Ok(Some(Found { variable, value })),
            Err(_) => {
                let (expected, found) = ("UTF-8".to_owned(), "other bytes".to_owned());
                Err(EnvironmentError { variable, expected, found })
            }
        }
    }
}

struct Header {
    name: String,
    value: String,
    from: Found,
}

/// Where metrics are below a base URL, unless it leads there itself.
fn below(base: &str) -> Result<Receiver, ReceiverError> {
    let path = base.split(['?', '#']).next().unwrap_or(base).trim_end_matches('/');
    let receiver = Receiver::new(base)?;
    Ok(if path.ends_with(PATH) { receiver } else { receiver.at(PATH) })
}

fn url_error(variable: &str, url: &str, error: &ReceiverError) -> EnvironmentError {
    let why = match error {
        ReceiverError::Url { why, .. } => why.clone(),
        other => other.to_string(),
    };
    EnvironmentError {
        variable: variable.to_owned(),
        expected: "a URL like http://HOST:PORT/PATH".to_owned(),
        found: format!("{:?} ({why})", shown(url)),
    }
}

fn milliseconds(found: &Found) -> Result<Duration, EnvironmentError> {
    let number = found.value.trim().parse().map(Duration::from_millis);
    number.map_err(|_| found.wrong("a number of milliseconds"))
}

/// A text without its percent signs; `None` when one of them stands for nothing.
fn decoded(text: &str) -> Option<String> {
    let is_hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut signs = text.bytes().enumerate().filter(|(_, byte)| *byte == b'%');
    let is_good = signs.all(|(at, _)| is_hex(at + 1) && is_hex(at + 2));
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|_| is_good)?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! environment {
        ($($name:literal => $value:expr),* $(,)?) => {
            Environment::new(|name| match name {
                $($name => Some(OsString::from($value)),)*
                _ => None,
            })
        };
    }

    /// Where it sends to, or the error.
    fn leads(environment: Environment, base: Option<&str>) -> String {
        let receiver = environment.receiver(base);
        match receiver.and_then(|receiver| Ok(receiver.timeout(environment.timeout()?))) {
            Ok(receiver) => receiver.url(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_endpoint_is_a_base_but_for_one_of_metrics_alone() {
        let general = environment! { "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://c:4318/x" };
        assert_eq!(leads(general, None), "http://c:4318/x/v1/metrics");
        let general = environment! { "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://c:4318/x/" };
        assert_eq!(leads(general, None), "http://c:4318/x/v1/metrics");
        assert_eq!(leads(environment! {}, None), "http://localhost:4318/v1/metrics");
        let both = environment! {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://c",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "https://d:1/push/",
        };
        assert_eq!(leads(both, None), "https://d:1/push/");
        let bare = environment! { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "http://d:1" };
        assert_eq!(leads(bare, None), "http://d:1");
        let empty = environment! { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "" };
        assert_eq!(leads(empty, None), "http://localhost:4318/v1/metrics");
        for (base, expect) in [
            ("http://e", "http://e/v1/metrics"),
            ("http://e/otlp/", "http://e/otlp/v1/metrics"),
            ("http://e/otlp/v1/metrics", "http://e/otlp/v1/metrics"),
            ("http://e/otlp?a=/v1/metrics", "http://e/otlp/v1/metrics?a=/v1/metrics"),
        ] {
            assert_eq!(leads(both, Some(base)), expect);
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_no_secret_is_said() {
        for (environment, expect) in [
            (
                environment! { "OTEL_EXPORTER_OTLP_ENDPOINT" => "c:4318" },
                "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL like http://HOST:PORT/PATH, found \"c:4318\"",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "ftp://secret:secret@c" },
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: expected a URL like http://HOST:PORT/PATH, found \"ftp://c\"",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc" },
                "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, which is what is spoken here, found \"grpc\"",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => "delta" },
                "expected cumulative",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_HEADERS" => "secret" },
                "OTEL_EXPORTER_OTLP_HEADERS: ",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_METRICS_HEADERS" => "a b=secret" },
                "OTEL_EXPORTER_OTLP_METRICS_HEADERS: expected headers as NAME=VALUE, found a name that no header can have",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_HEADERS" => "Authorization: Basic secret==" },
                "OTEL_EXPORTER_OTLP_HEADERS: expected headers as NAME=VALUE, found a name that no header can have",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_HEADERS" => "a=secret%0A" },
                "OTEL_EXPORTER_OTLP_HEADERS: expected headers as NAME=VALUE, found other letters in that of \"a\"",
            ),
            (
                environment! { "OTEL_EXPORTER_OTLP_ENDPOINT" => "https://u:secret#secret@c:x/" },
                "found \"https://c:x\"",
            ),
            (environment! { "OTEL_EXPORTER_OTLP_TIMEOUT" => "5s" }, "a number of milliseconds"),
            (environment! { "OTEL_EXPORTER_OTLP_TIMEOUT" => "-1" }, "a number of milliseconds"),
        ] {
            let error = leads(environment, None);
            assert!(error.contains(expect) && !error.contains("secret"), "{error}");
        }
        // What a flag says of the endpoint is spoken as it is spoken here.
        let grpc = environment! { "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc" };
        assert_eq!(leads(grpc, Some("http://e")), "http://e/v1/metrics");
        let good = environment! {
            "OTEL_EXPORTER_OTLP_PROTOCOL" => "grpc",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL" => "http/protobuf",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => "Cumulative",
        };
        assert_eq!(leads(good, None), "http://localhost:4318/v1/metrics");
    }

    #[test]
    fn headers_are_decoded_and_those_for_metrics_come_instead() {
        let headers = |environment: Environment| -> Vec<(String, String)> {
            let headers = environment.headers().expect("headers").into_iter();
            headers.map(|header| (header.name, header.value)).collect()
        };
        let general = environment! { "OTEL_EXPORTER_OTLP_HEADERS" => " a = b%20c ,, d=e=f," };
        assert_eq!(headers(general), [("a".into(), "b c".into()), ("d".into(), "e=f".into())]);
        let both = environment! {
            "OTEL_EXPORTER_OTLP_HEADERS" => "a=b",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS" => "c=d",
        };
        assert_eq!(headers(both), [("c".into(), "d".into())]);
        assert_eq!(headers(environment! {}), []);
    }

    #[test]
    fn times_are_milliseconds_and_no_timeout_is_a_long_one() {
        assert_eq!(environment! {}.timeout().expect("a time"), Duration::from_secs(10));
        let set = environment! { "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT" => "1500" };
        assert_eq!(set.timeout().expect("a time"), Duration::from_millis(1500));
        let none = environment! { "OTEL_EXPORTER_OTLP_TIMEOUT" => "0" };
        assert_eq!(none.timeout().expect("a time"), NO_TIMEOUT);
        assert_eq!(environment! {}.interval().expect("nothing"), None);
        let set = environment! { "OTEL_METRIC_EXPORT_INTERVAL" => "60000" };
        assert_eq!(set.interval().expect("a time"), Some(Duration::from_secs(60)));
        let zero = environment! { "OTEL_METRIC_EXPORT_INTERVAL" => "0" };
        assert!(zero.interval().expect_err("no time").to_string().contains("from 1 on"));
    }

    #[test]
    fn codings_and_certificates_are_read_or_refused() {
        let coding = |value: Option<bool>, environment: Environment| {
            assert_eq!(environment.is_compressed().ok().flatten(), value);
        };
        coding(None, environment! {});
        coding(Some(true), environment! { "OTEL_EXPORTER_OTLP_COMPRESSION" => "gzip" });
        coding(Some(false), environment! { "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION" => "none" });
        let other = environment! { "OTEL_EXPORTER_OTLP_COMPRESSION" => "zstd" };
        assert!(other.is_compressed().expect_err("no coding").to_string().contains("gzip or none"));
        let half = environment! { "OTEL_EXPORTER_OTLP_CLIENT_KEY" => "key.pem" };
        let error = half.identity().expect_err("a half").to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_CLIENT_KEY: expected a client certificate"));
    }

    #[test]
    fn attributes_are_read_as_a_whole_or_not_at_all() {
        let check = |environment: Environment, expect: Option<&[(&str, &str)]>| {
            let found = environment.attributes().ok();
            let found = found.as_ref().map(|found| -> Vec<(&str, &str)> {
                found.iter().map(|(name, value)| (&**name, &**value)).collect()
            });
            assert_eq!(found.as_deref(), expect);
        };
        check(environment! {}, Some(&[]));
        let both = environment! {
            "OTEL_SERVICE_NAME" => "shop",
            "OTEL_RESOURCE_ATTRIBUTES" => "service.name=other, a%2C=%3Db ,empty=",
        };
        let expect =
            [("service.name", "shop"), ("service.name", "other"), ("a,", "=b"), ("empty", "")];
        check(both, Some(&expect));
        check(environment! { "OTEL_RESOURCE_ATTRIBUTES" => "a=b,c" }, None);
        check(environment! { "OTEL_RESOURCE_ATTRIBUTES" => "a=b=c" }, None);
        check(environment! { "OTEL_RESOURCE_ATTRIBUTES" => "a=%zz" }, None);
        check(environment! { "OTEL_RESOURCE_ATTRIBUTES" => "a=%ff" }, None);
        check(environment! { "OTEL_RESOURCE_ATTRIBUTES" => "=b" }, None);
    }
}
