//! The formats, by name.

#[cfg(feature = "protobuf")]
use crate::protobuf;
use crate::sample::FamilySamples;
use crate::{openmetrics, openmetrics2, text};

/// A format that a page may be written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4, which everybody reads.
    #[default]
    Text004,
    /// Prometheus text 1.0.0: 0.0.4 with any names.
    Text100,
    /// OpenMetrics text 0.0.1: 1.0.0 under its first name.
    OpenMetrics001,
    /// OpenMetrics text 1.0.0.
    OpenMetrics100,
    /// OpenMetrics text 2.0.0, which is not finished.
    OpenMetrics200,
    /// Prometheus' protocol buffers, each behind its length.
    #[cfg(feature = "protobuf")]
    Protobuf,
}

impl Format {
    /// Every format.
    pub const EVERY: &[Self] = &[
        Self::Text004,
        Self::Text100,
        Self::OpenMetrics001,
        Self::OpenMetrics100,
        Self::OpenMetrics200,
        #[cfg(feature = "protobuf")]
        Self::Protobuf,
    ];

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => text::CONTENT_TYPE,
            Self::Text100 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OpenMetrics200 => "application/openmetrics-text; version=2.0.0; charset=utf-8",
            #[cfg(feature = "protobuf")]
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }

    /// A page of these families. Their names are written as they are: see
    /// [`Escaping`](crate::escaping::Escaping). When native histograms began is not written, because
    /// Prometheus 3.5 cannot read it; see [`encode_with_starts`](Self::encode_with_starts).
    #[must_use]
    pub fn encode(self, families: &[FamilySamples]) -> Vec<u8> {
        self.page(families, false)
    }

    /// A page of these families, with the start of native histograms where the format has one.
    #[must_use]
    pub fn encode_with_starts(self, families: &[FamilySamples]) -> Vec<u8> {
        self.page(families, true)
    }

    fn page(self, families: &[FamilySamples], starts: bool) -> Vec<u8> {
        let mut page = Vec::new();
        for family in families {
            self.write_family(&mut page, family, starts);
        }
        page.extend_from_slice(self.end());
        page
    }

    /// Writes a family; when native histograms began is written only if `starts` says so.
    pub fn write_family(self, page: &mut Vec<u8>, family: &FamilySamples, starts: bool) {
        match self {
            Self::Text004 | Self::Text100 => text::write_family(page, family),
            Self::OpenMetrics001 | Self::OpenMetrics100 => openmetrics::write_family(page, family),
            Self::OpenMetrics200 => openmetrics2::write_family(page, family, starts),
            #[cfg(feature = "protobuf")]
            Self::Protobuf => protobuf::write_family(page, family, starts),
        }
    }

    /// What stands behind the last family of a page.
    #[must_use]
    pub fn end(self) -> &'static [u8] {
        match self {
            Self::OpenMetrics001 | Self::OpenMetrics100 | Self::OpenMetrics200 => openmetrics::END,
            _ => b"",
        }
    }
}
