//! Typed label sets: a struct whose fields are the labels of a family.

use std::borrow::Cow;

use crate::registry::children::Values;

/// A set of labels as a type of its own, which the macro [`labels!`](crate::labels!) makes of a
/// struct. [`Builder::labels_of`](crate::Builder::labels_of) registers a family with its names, and
/// [`Family::with_labels`](crate::Family::with_labels) finds the series with its values.
pub trait LabelSet {
    /// The label names, in order.
    const NAMES: &'static [&'static str];

    /// Calls `visit` with the text of each value, in the order of the names; the same ones each
    /// time.
    fn each_value(&self, visit: impl FnMut(&str));
}

/// What a label of a [`LabelSet`] may be: a text, a whole number, a bool, or a type of your own.
///
/// ```
/// use tallyboard::{Counter, LabelBuffer, LabelValue};
///
/// enum Method {
///     Get,
///     Post,
/// }
///
/// impl LabelValue for Method {
///     fn text<'a>(&'a self, _: &'a mut LabelBuffer) -> &'a str {
///         match self {
///             Self::Get => "GET",
///             Self::Post => "POST",
///         }
///     }
/// }
///
/// tallyboard::labels! {
///     struct Request { method: Method, status: u16 }
/// }
/// let requests = Counter::builder("app_requests_total", "Requests answered.");
/// let requests = requests.labels_of::<Request>().family()?;
/// requests.with_labels(&Request { method: Method::Get, status: 200 })?.inc();
/// requests.with_labels(&Request { method: Method::Post, status: 404 })?.inc();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait LabelValue {
    /// The text, in the value itself or written into `buffer`; the same each time.
    fn text<'a>(&'a self, buffer: &'a mut LabelBuffer) -> &'a str;
}

/// Room for the text of a value that has none of its own.
///
/// ```
/// use tallyboard::{LabelBuffer, LabelValue};
///
/// /// A status by its first digit.
/// struct Class(u16);
///
/// impl LabelValue for Class {
///     fn text<'a>(&'a self, buffer: &'a mut LabelBuffer) -> &'a str {
///         buffer.whole(false, u64::from(self.0 / 100))
///     }
/// }
/// assert_eq!(Class(404).text(&mut LabelBuffer::new()), "4");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LabelBuffer {
    /// Twenty digits, and a sign before them.
    bytes: [u8; 21],
}

impl LabelBuffer {
    /// An empty buffer.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; 21] }
    }

    /// Writes a whole number, with a minus before it or not.
    #[inline]
    pub fn whole(&mut self, is_negative: bool, magnitude: u64) -> &str {
        let mut left = magnitude;
        let mut at = self.bytes.len();
        loop {
            at -= 1;
            self.bytes[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if is_negative {
            at -= 1;
            self.bytes[at] = b'-';
        }
        std::str::from_utf8(&self.bytes[at..]).unwrap_or_default()
    }
}

impl Default for LabelBuffer {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! texts {
    ($($text:ty),*) => {$(
        impl LabelValue for $text {
            #[inline]
            fn text<'a>(&'a self, _: &'a mut LabelBuffer) -> &'a str {
                self
            }
        }
    )*};
}

texts!(str, String, Box<str>, Cow<'_, str>);

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl LabelValue for $number {
            #[inline]
            fn text<'a>(&'a self, buffer: &'a mut LabelBuffer) -> &'a str {
                buffer.whole(false, *self as u64)
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, usize);

macro_rules! signed {
    ($($number:ty),*) => {$(
        impl LabelValue for $number {
            #[inline]
            fn text<'a>(&'a self, buffer: &'a mut LabelBuffer) -> &'a str {
                buffer.whole(*self < 0, self.unsigned_abs() as u64)
            }
        }
    )*};
}

signed!(i8, i16, i32, i64, isize);

impl LabelValue for bool {
    #[inline]
    fn text<'a>(&'a self, _: &'a mut LabelBuffer) -> &'a str {
        if *self { "true" } else { "false" }
    }
}

impl<V: LabelValue + ?Sized> LabelValue for &V {
    #[inline]
    fn text<'a>(&'a self, buffer: &'a mut LabelBuffer) -> &'a str {
        (**self).text(buffer)
    }
}

/// The values of a set, to look a series up by.
pub(crate) struct Typed<'a, L>(pub(crate) &'a L);

impl<L: LabelSet> Values for Typed<'_, L> {
    #[inline]
    fn each(&self, visit: impl FnMut(&str)) {
        self.0.each_value(visit);
    }
}

/// The label that a field stands for: `r#type` is `type`.
#[doc(hidden)]
#[must_use]
pub const fn label_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: impl LabelValue, expect: &str) {
        assert_eq!(value.text(&mut LabelBuffer::new()), expect);
        assert_eq!((&&value).text(&mut LabelBuffer::new()), expect);
    }

    #[test]
    fn every_value_has_its_text() {
        check("a", "a");
        check(String::from("a"), "a");
        check(Cow::Borrowed("a"), "a");
        check(Box::<str>::from(""), "");
        check(true, "true");
        check(false, "false");
        for number in [0, 7, 10, 99, 100, 12_345, i64::MAX, i64::MIN, -1, -10] {
            check(number, &number.to_string());
            check(number as i8, &(number as i8).to_string());
            check(number as u64, &(number as u64).to_string());
            check(number as u16, &(number as u16).to_string());
            check(number as isize, &(number as isize).to_string());
        }
        check(u64::MAX, &u64::MAX.to_string());
        assert_eq!(LabelBuffer::new().whole(true, u64::MAX), format!("-{}", u64::MAX));
    }
}
