//! The versions of remote write, and how a request says which one it is.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A version of remote write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 1.0, which everybody reads.
    #[default]
    V1,
    /// 2.0, which has metadata, exemplars and start times with each series.
    V2,
}

/// What is no version.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a version of remote write is 1.0 or 2.0, found {found:?}; use one of these")]
pub struct VersionError {
    /// What was found.
    pub found: String,
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        match text {
            "1.0" => Ok(Self::V1),
            "2.0" => Ok(Self::V2),
            _ => Err(VersionError { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        })
    }
}

impl Version {
    /// The headers that say what a request is.
    pub(super) fn headers(self) -> [(&'static str, &'static str); 3] {
        let (content_type, version) = match self {
            Self::V1 => ("application/x-protobuf", "0.1.0"),
            // Without a space: Prometheus 3.5 would take it for 1.0.
            Self::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        [
            ("content-encoding", "snappy"),
            ("content-type", content_type),
            ("x-prometheus-remote-write-version", version),
        ]
    }
}
