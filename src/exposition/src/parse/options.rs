//! How a document is read, and how much it may hold.

/// How much a document may make the parser hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Labels of one sample.
    pub labels: usize,
    /// Samples of the document; a composite value is as many as it has parts.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 30, line_bytes: 16 << 20, labels: 4096, samples: 50_000_000 }
    }
}

/// How a document is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How much it may hold.
    pub limits: Limits,
    /// Whether text 0.0.4 that Prometheus' Go library refuses is refused here too.
    pub exact: bool,
}
