//! What the headers of a scrape ask for.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};
use tallyboard_exposition::negotiation::{Encoding, Negotiated, accepts_encoding, negotiate};

/// How long Prometheus waits for the answer, in seconds with decimals.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// Longest time that a scraper may ask for; a longer one is none.
const LONGEST_TIMEOUT: f64 = 24.0 * 3600.0;

/// What a scraper wants, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preferences {
    pub(crate) negotiated: Negotiated,
    pub(crate) encoding: Encoding,
    /// How long it waits.
    pub(crate) timeout: Option<Duration>,
}

impl Preferences {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let timeout = headers.get(SCRAPE_TIMEOUT).and_then(|value| value.to_str().ok());
        Self {
            negotiated: negotiate(&joined(headers, ACCEPT)),
            encoding: accepts_encoding(&joined(headers, ACCEPT_ENCODING)),
            timeout: timeout.and_then(seconds),
        }
    }
}

/// The values of a header that may come more than once, as one list.
fn joined(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds > 0.0 && seconds <= LONGEST_TIMEOUT).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use tallyboard_exposition::format::Format;

    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Preferences {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append(name, value);
        }
        Preferences::of(&map)
    }

    #[test]
    fn without_headers_a_page_is_text_as_it_is_whenever_it_comes() {
        let (negotiated, encoding) = (Negotiated::default(), Encoding::Identity);
        assert_eq!(of(&[]), Preferences { negotiated, encoding, timeout: None });
        assert_eq!(negotiated.format, Format::Text004);
    }

    #[test]
    fn a_header_that_comes_twice_is_one_list() {
        let found = of(&[
            ("accept", "text/plain;q=0.5"),
            ("accept", "application/openmetrics-text;version=1.0.0"),
            ("accept-encoding", "br"),
            ("accept-encoding", "gzip"),
        ]);
        assert_eq!(found.negotiated.format, Format::OpenMetrics100);
        assert_eq!(found.encoding, Encoding::Gzip);
    }

    #[test]
    fn zstandard_is_for_those_who_want_it_more_than_gzip() {
        for (header, expect) in [
            ("gzip, deflate, br, zstd", Encoding::Gzip),
            ("zstd", Encoding::Zstd),
            ("zstd, gzip;q=0.5", Encoding::Zstd),
            ("zstd;q=0", Encoding::Identity),
            ("gzip;q=0", Encoding::Identity),
            ("*", Encoding::Identity),
            ("br", Encoding::Identity),
        ] {
            assert_eq!(of(&[("accept-encoding", header)]).encoding, expect, "{header:?}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_waited_is_none() {
        for (header, expect) in [
            ("10.000000", Some(10_000_000_000)),
            (" 0.5 ", Some(500_000_000)),
            ("0.000000001", Some(1)),
            ("86400", Some(86_400_000_000_000)),
            ("86401", None),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e400", None),
            ("ten", None),
            ("", None),
        ] {
            let found = of(&[(SCRAPE_TIMEOUT, header)]).timeout.map(|limit| limit.as_nanos());
            assert_eq!(found, expect, "{header:?}");
        }
    }
}
