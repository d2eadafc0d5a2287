//! Families as they are, for programs of one release: nothing is left out because a format has no place
//! for it, and nothing is written in another way.
//!
//! An integer has its size and is little-endian; a text, list or optional value has how many there are
//! in front of it, in four bytes. The parts of each type follow each other in the order in which they
//! stand at the end of this file.

use std::borrow::Cow;

use crate::sample::{
    Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type, Value,
};

/// The content type.
pub const CONTENT_TYPE: &str = "application/x-tallyboard-families";

/// Writes families.
#[must_use]
pub fn write(families: &[FamilySamples]) -> Vec<u8> {
    let mut page = Vec::new();
    put_all(families, &mut page);
    page
}

/// Reads what [`write()`] wrote; `None` for any other bytes.
#[must_use]
pub fn read(mut page: &[u8]) -> Option<Vec<FamilySamples>> {
    let families = Vec::take(&mut page)?;
    page.is_empty().then_some(families)
}

/// What families are made of.
trait Part: Sized {
    fn put(&self, page: &mut Vec<u8>);
    fn take(page: &mut &[u8]) -> Option<Self>;
}

fn put_all<P: Part>(all: &[P], page: &mut Vec<u8>) {
    (all.len() as u32).put(page);
    all.iter().for_each(|part| part.put(page));
}

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Part for $number {
            fn put(&self, page: &mut Vec<u8>) {
                page.extend_from_slice(&self.to_le_bytes());
            }

            fn take(page: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = page.split_first_chunk()?;
                *page = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )* };
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => { $(
        impl Part for $name {
            fn put(&self, page: &mut Vec<u8>) {
                $(self.$field.put(page);)*
            }

            fn take(page: &mut &[u8]) -> Option<Self> {
                $(let $field = Part::take(page)?;)*
                Some(Self { $($field),* })
            }
        }
    )* };
}

impl Part for String {
    fn put(&self, page: &mut Vec<u8>) {
        (self.len() as u32).put(page);
        page.extend_from_slice(self.as_bytes());
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        let length = u32::take(page)?;
        let (text, rest) = page.split_at_checked(length as usize)?;
        *page = rest;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    }
}

impl Part for Cow<'static, str> {
    fn put(&self, page: &mut Vec<u8>) {
        self.as_ref().to_owned().put(page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        String::take(page).map(Cow::Owned)
    }
}

impl<P: Part> Part for Vec<P> {
    fn put(&self, page: &mut Vec<u8>) {
        put_all(self, page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        // No part is empty, so that a length that is wrong ends with the page.
        (0..u32::take(page)?).map(|_| P::take(page)).collect()
    }
}

impl<P: Part> Part for Option<P> {
    fn put(&self, page: &mut Vec<u8>) {
        put_all(self.as_slice(), page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        match u32::take(page)? {
            0 => Some(None),
            1 => P::take(page).map(Some),
            _ => None,
        }
    }
}

impl<P: Part> Part for Box<P> {
    fn put(&self, page: &mut Vec<u8>) {
        self.as_ref().put(page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        P::take(page).map(Box::new)
    }
}

impl Part for (String, String) {
    fn put(&self, page: &mut Vec<u8>) {
        self.0.put(page);
        self.1.put(page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        Some((String::take(page)?, String::take(page)?))
    }
}

impl Part for Value {
    fn put(&self, page: &mut Vec<u8>) {
        match *self {
            Self::Whole(value) => {
                0_u32.put(page);
                value.put(page);
            }
            Self::Float(value) => {
                1_u32.put(page);
                value.put(page);
            }
        }
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        match u32::take(page)? {
            0 => u64::take(page).map(Self::Whole),
            1 => f64::take(page).map(Self::Float),
            _ => None,
        }
    }
}

impl Part for Type {
    fn put(&self, page: &mut Vec<u8>) {
        let number = Self::EVERY.iter().position(|known| known == self).unwrap_or_default();
        (number as u32).put(page);
    }

    fn take(page: &mut &[u8]) -> Option<Self> {
        Self::EVERY.get(u32::take(page)? as usize).copied()
    }
}

numbers!(u32, u64, i32, i64, f64);

structs! {
    FamilySamples { kind, name, unit, help, samples }
    Sample { suffix, labels, value, timestamp, exemplar, native }
    Timestamp { seconds, nanos }
    Exemplar { labels, value, timestamp }
    NativeHistogram {
        schema, zero_threshold, zero_count, sum, positive, negative, exemplars
    }
    NativeBuckets { spans, counts }
    Span { offset, length }
}
