//! A page in a format: which families stand in it, and who writes them.

use crate::clash::settled;
use crate::format::{Choices, Format};
#[cfg(feature = "protobuf")]
use crate::protobuf;
use crate::sample::FamilySamples;
use crate::{openmetrics, openmetrics2, text};

impl Format {
    /// A page of these families, with the usual [`Choices`]. Their names are written as they are: see
    /// [`Escaping`](crate::escaping::Escaping). What this format has no place for is left out: values
    /// that it forbids, and a family that has the name of another one in it.
    #[must_use]
    pub fn encode(self, families: &[FamilySamples]) -> Vec<u8> {
        self.encode_with(families, &Choices::default())
    }

    /// The same, with what may be chosen.
    #[must_use]
    pub fn encode_with(self, families: &[FamilySamples], choices: &Choices) -> Vec<u8> {
        self.encode_settled(&settled(self, families).families, choices)
    }

    /// The same of families that [can stand beside each other](settled).
    #[must_use]
    pub fn encode_settled(self, families: &[FamilySamples], choices: &Choices) -> Vec<u8> {
        let mut page = Vec::new();
        for family in families {
            self.write_family(&mut page, family, choices);
        }
        page.extend_from_slice(self.end());
        page
    }

    /// Writes a family; nothing of one whose samples all have no place in this format.
    pub fn write_family(self, page: &mut Vec<u8>, family: &FamilySamples, choices: &Choices) {
        let start = page.len();
        let samples = match self {
            Self::Text004 | Self::Text100 => text::write_family(page, family),
            Self::OpenMetrics001 | Self::OpenMetrics100 => {
                openmetrics::write_family(page, family, choices)
            }
            Self::OpenMetrics200 => openmetrics2::write_family(page, family, choices),
            #[cfg(feature = "protobuf")]
            Self::Protobuf => protobuf::write_family(page, family, choices),
        };
        if samples == 0 && !family.samples.is_empty() {
            page.truncate(start);
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
