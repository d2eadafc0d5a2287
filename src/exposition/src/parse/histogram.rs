//! Histograms of OpenMetrics 1.0, whose buckets, count and sum are samples beside each other.

use super::ParseError;
use super::cursor::Line;

/// What was seen of one histogram at one moment.
#[derive(Default)]
pub(super) struct Seen<'a> {
    /// Where its last sample stands, if there is one.
    last: Option<Line<'a>>,
    bucket: Option<f64>,
    value: f64,
    count: Option<f64>,
    has_sum: bool,
    has_negative_sum: bool,
    has_gauge_sum: bool,
    has_negative_bucket: bool,
}

impl<'a> Seen<'a> {
    /// Takes a sample; `bound` is the label `le` of a bucket.
    pub fn take(
        &mut self,
        line: Line<'a>,
        suffix: &str,
        bound: f64,
        value: f64,
    ) -> Result<(), ParseError> {
        self.last = Some(line);
        match suffix {
            "_bucket" => {
                if self.bucket.is_some_and(|last| bound <= last) {
                    return Err(line.error("expected buckets in increasing order of \"le\""));
                }
                if value < self.value {
                    return Err(line.error("expected as much in a bucket as in the one before it"));
                }
                self.has_negative_bucket |= bound < 0.0;
                self.bucket = Some(bound);
                self.value = value;
            }
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" => self.has_sum = true,
            "_gsum" => {
                self.has_gauge_sum = true;
                self.has_negative_sum |= value < 0.0;
            }
            _ => {}
        }
        Ok(())
    }

    /// Judges the histogram when its last sample was taken, and forgets it.
    pub fn finish(&mut self) -> Result<(), ParseError> {
        let seen = std::mem::take(self);
        let Some(line) = seen.last else { return Ok(()) };
        let has_sum = seen.has_sum || seen.has_gauge_sum;
        let wrong = if seen.bucket != Some(f64::INFINITY) {
            "expected a last bucket with le=\"+Inf\" in this histogram"
        } else if seen.count.is_some_and(|count| count != seen.value) {
            "expected the count of this histogram to be that of its bucket \"+Inf\""
        } else if has_sum && seen.count.is_none() {
            "expected a count beside the sum of this histogram"
        } else if seen.count.is_some() && !has_sum {
            "expected a sum beside the count of this histogram"
        } else if seen.has_negative_bucket && seen.has_sum {
            "a histogram with negative bounds of buckets has no sum"
        } else if !seen.has_negative_bucket && seen.has_negative_sum {
            "a histogram without negative bounds of buckets has no negative sum"
        } else {
            return Ok(());
        };
        Err(line.error(wrong))
    }
}
