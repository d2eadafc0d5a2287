//! How the body of an answer is coded: with gzip for those who take it, with Zstandard for those who
//! ask for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use structured_zstd::encoding::{CompressionLevel, compress_slice_to_vec};
use tallyboard_exposition::negotiation::Encoding;

/// Level of gzip. The body of a page of 5 MB is less than four fifths of that of level 1, in 1.3 times
/// its time; up to level 7 each one above saves at most 7 % more (`bench/benches/compression.rs`).
pub const GZIP_LEVEL: u32 = 2;
/// Level of Zstandard: the fastest, which is faster than gzip and smaller. The next levels take
/// longer and make the body of a page no smaller.
pub const ZSTD_LEVEL: i32 = 1;

/// The body in this coding; `None` when it is to stay as it is.
#[must_use]
pub fn coded(body: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => gzip(body, GZIP_LEVEL),
        Encoding::Zstd => Some(zstd(body, ZSTD_LEVEL)),
    }
}

/// The body with gzip of a level from 0 to 9; `None` when it could not be written.
#[must_use]
pub fn gzip(body: &[u8], level: u32) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::new(level));
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// The body with Zstandard of a level from 1 to 22.
#[must_use]
pub fn zstd(body: &[u8], level: i32) -> Vec<u8> {
    compress_slice_to_vec(body, CompressionLevel::Level(level))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use structured_zstd::decoding::StreamingDecoder;

    use super::*;

    fn decoded(coded: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut body = Vec::new();
        let read = match encoding {
            Encoding::Identity => coded.to_vec().as_slice().read_to_end(&mut body),
            Encoding::Gzip => GzDecoder::new(coded).read_to_end(&mut body),
            Encoding::Zstd => StreamingDecoder::new(coded).read_to_end(&mut body),
        };
        read.expect("a body that was coded is decoded");
        body
    }

    #[test]
    fn a_coded_body_is_the_body_again_and_a_page_gets_smaller() {
        let lines = |lines: usize| -> Vec<u8> {
            let line = |at: usize| format!("a_total{{route=\"/{at}\"}} {}\n", at * at);
            (0..lines).map(line).collect::<String>().into_bytes()
        };
        for body in [Vec::new(), lines(1), lines(100), lines(20_000), (0..=255).collect()] {
            assert_eq!(coded(&body, Encoding::Identity), None);
            for encoding in [Encoding::Gzip, Encoding::Zstd] {
                let found = coded(&body, encoding).expect("it is coded");
                assert_eq!(decoded(&found, encoding), body, "{encoding:?} of {}", body.len());
                assert!(body.len() < 1000 || found.len() < body.len() / 2, "{encoding:?}");
            }
        }
    }
}
