//! Which format and which coding of it a reader gets, by its headers `Accept` and `Accept-Encoding`
//! (RFC 9110, section 12.5; <https://prometheus.io/docs/instrumenting/content_negotiation/>).
//! Nobody is refused: where nothing fits, it is text 0.0.4, as it is.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::escaping::Escaping;
use crate::format::Format;

const OPENMETRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";
#[cfg(feature = "protobuf")]
const PROTOBUF: &str = "application/vnd.google.protobuf";
#[cfg(feature = "protobuf")]
const MESSAGE: &str = "io.prometheus.client.MetricFamily";

/// What a reader gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Negotiated {
    /// The format.
    pub format: Format,
    /// What becomes of names that old readers do not know.
    pub escaping: Escaping,
}

impl Negotiated {
    /// The content type. A text format that may have any names (version 1.0.0 and later) has to name
    /// the escaping; the others do where it is not the one that everybody expects.
    #[must_use]
    pub fn content_type(self) -> Cow<'static, str> {
        let format = self.format.content_type();
        let has_any_names = matches!(
            self.format,
            Format::Text100 | Format::OpenMetrics100 | Format::OpenMetrics200
        );
        match self.escaping {
            Escaping::Underscores if !has_any_names => Cow::Borrowed(format),
            escaping => Cow::Owned(format!("{format}; escaping={}", escaping.name())),
        }
    }
}

/// What a reader with this header `Accept` gets; without the header it is empty.
///
/// Of the formats that the reader wants most it is the one that it names most exactly, and of those
/// the one that it names first. OpenMetrics 2.0.0, OpenMetrics 0.0.1 and text 1.0.0 are for those
/// who name the version.
#[must_use]
pub fn negotiate(accept: &str) -> Negotiated {
    let ranges: Vec<Range<'_>> = elements(accept, ',').filter_map(Range::parse).collect();
    let offers = Format::EVERY.iter().enumerate().filter_map(|(rank, &format)| {
        let matching = ranges.iter().enumerate().filter(|(_, range)| range.matches(format));
        // The most exact range says how much a format is wanted.
        let (at, range) = matching.min_by_key(|(_, r)| (r.wildcards(), Reverse(r.quality)))?;
        let wanted = (range.quality, Reverse(range.wildcards()), Reverse(at), Reverse(rank));
        (range.quality > 0).then(|| (wanted, range.negotiated(format)))
    });
    offers.max_by_key(|(wanted, _)| *wanted).map(|(_, best)| best).unwrap_or_default()
}

/// A media range with its parameters.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subkind: &'a str,
    parameters: Vec<(&'a str, Cow<'a, str>)>,
    /// How much it is wanted, in thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = elements(element, ';');
        let (kind, subkind) = match parts.next()? {
            "*" => ("*", "*"),
            media => media.split_once('/')?,
        };
        let (mut parameters, mut quality) = (Vec::new(), 1000);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), unquoted(value.trim()));
            if name.eq_ignore_ascii_case("q") {
                quality = thousandths(&value)?;
            } else {
                parameters.push((name, value));
            }
        }
        Some(Self { kind: kind.trim(), subkind: subkind.trim(), parameters, quality })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    fn is(&self, media: &str) -> bool {
        let (kind, subkind) = media.split_once('/').unwrap_or((media, ""));
        self.kind.eq_ignore_ascii_case(kind) && self.subkind.eq_ignore_ascii_case(subkind)
    }

    fn wildcards(&self) -> usize {
        [self.kind, self.subkind].into_iter().filter(|part| *part == "*").count()
    }

    /// The format that it names.
    fn format(&self) -> Option<Format> {
        let version = self.parameter("version").filter(|version| !version.is_empty());
        if self.is(TEXT) {
            return match version {
                None | Some("0.0.4") => Some(Format::Text004),
                Some("1.0.0") => Some(Format::Text100),
                Some(_) => None,
            };
        }
        if self.is(OPENMETRICS) {
            return match version {
                Some("0.0.1") => Some(Format::OpenMetrics001),
                None | Some("1.0.0") => Some(Format::OpenMetrics100),
                Some("2.0.0") => Some(Format::OpenMetrics200),
                Some(_) => None,
            };
        }
        #[cfg(feature = "protobuf")]
        if self.is(PROTOBUF)
            && self.parameter("proto") == Some(MESSAGE)
            && self.parameter("encoding") == Some("delimited")
        {
            return Some(Format::Protobuf);
        }
        None
    }

    /// Whether it names the format, or leaves open which one it is.
    fn matches(&self, format: Format) -> bool {
        let kind = |kind: &str| self.kind.eq_ignore_ascii_case(kind);
        match format {
            Format::Text004 if self.subkind == "*" => kind("text") || kind("*"),
            Format::OpenMetrics100 if self.subkind == "*" => kind("application") || kind("*"),
            _ => self.format() == Some(format),
        }
    }

    fn negotiated(&self, format: Format) -> Negotiated {
        let escaping = self.parameter("escaping").and_then(Escaping::named).unwrap_or_default();
        Negotiated { format, escaping }
    }
}

/// How a body may be coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// With gzip.
    Gzip,
    /// With Zstandard.
    Zstd,
}

impl Encoding {
    /// Its name in the headers `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// How the body is coded for a reader with this header `Accept-Encoding`; without the header it is
/// empty. Zstandard is for those who name it and want it more than gzip: browsers name both.
#[must_use]
pub fn accepts_encoding(header: &str) -> Encoding {
    let weight = |names: &[&str]| {
        let weights = elements(header, ',').map(coding);
        let of = weights.filter(|(name, _)| names.iter().any(|n| n.eq_ignore_ascii_case(name)));
        of.map(|(_, weight)| weight).max()
    };
    let (zstd, identity) = (weight(&["zstd"]).unwrap_or(0), weight(&["identity"]));
    let gzip = weight(&["gzip", "x-gzip"]);
    // Who refuses a body as it is, takes any other.
    let gzip = gzip.or(weight(&["*"]).filter(|_| identity == Some(0))).unwrap_or(0);
    let identity = identity.unwrap_or(0);
    if zstd > gzip && zstd >= identity {
        Encoding::Zstd
    } else if gzip > 0 && gzip >= identity {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// A coding with its weight, which is none if it cannot be read.
fn coding(element: &str) -> (&str, u16) {
    let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
    let weights = elements(parameters, ';').filter_map(|part| part.split_once('='));
    let mut weights = weights.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let weight = weights.next().map_or(1000, |(_, weight)| thousandths(weight.trim()).unwrap_or(0));
    (name.trim(), weight)
}

/// The parts of a header between separators that do not stand in quotes, without the blank ones.
fn elements(header: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let parts = header.split(move |character: char| {
        let was_escaped = std::mem::replace(&mut is_escaped, in_quotes && character == '\\');
        let is_escaping = was_escaped && character == '\\';
        is_escaped &= !is_escaping;
        in_quotes ^= character == '"' && !was_escaped;
        character == separator && !in_quotes
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquoted(value: &str) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut is_escaped = false;
    let kept = |character: &char| {
        is_escaped = *character == '\\' && !is_escaped;
        !is_escaped
    };
    Cow::Owned(inner.chars().filter(kept).collect())
}

/// A weight from 0 to 1 in thousandths, or nothing if it is none.
fn thousandths(weight: &str) -> Option<u16> {
    let weight: f64 = weight.parse().ok()?;
    (0.0..=1.0).contains(&weight).then(|| (weight * 1000.0).round() as u16)
}
