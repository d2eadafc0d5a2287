//! The payload of a record: texts, numbers and families as bytes.

use super::error::LogError;
use crate::cell::Join;
use crate::family::{Declared, Samples};
use crate::family::{Family, GaugeMode, Kind, MAX_BOUNDS, MAX_LABELS, MAX_NAME_BYTES, MAX_STATES};
use crate::native::Native;

/// Longest record, in words.
pub const MAX_RECORD_WORDS: usize = 1 << 16;

pub(super) fn put_str(bytes: &mut Vec<u8>, text: &str) {
    put_len(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_len(bytes: &mut Vec<u8>, len: usize) {
    bytes.extend_from_slice(&(len as u32).to_le_bytes());
}

pub(super) fn put_family(bytes: &mut Vec<u8>, family: &Family) -> u32 {
    put_str(bytes, &family.name);
    put_str(bytes, &family.unit);
    put_str(bytes, &family.help);
    put_len(bytes, family.labels.len());
    family.labels.iter().for_each(|label| put_str(bytes, label));
    match &family.kind {
        Kind::Counter => 0,
        Kind::Gauge(mode) => 1 | (*mode as u32) << 8,
        Kind::Histogram(bounds) => {
            put_len(bytes, bounds.len());
            bounds.iter().for_each(|bound| bytes.extend_from_slice(&bound.to_le_bytes()));
            2
        }
        Kind::NativeHistogram(native) => 7 | put_native(bytes, native),
        Kind::Summary => 3,
        Kind::Info => 4,
        Kind::StateSet(states) => {
            put_len(bytes, states.len());
            states.iter().for_each(|state| put_str(bytes, state));
            5
        }
        Kind::Samples(samples) => {
            // No family is joined in a way that has no number.
            let join = samples.join.number().unwrap_or(0xff);
            9 | join << 8 | (samples.declared as u32) << 16
        }
        Kind::Exemplar => 6,
        Kind::Bucket(native) => 8 | put_native(bytes, native),
    }
}

/// Gives the part of the operand that says which schema it has.
fn put_native(bytes: &mut Vec<u8>, native: &Native) -> u32 {
    put_len(bytes, native.bounds.len());
    native.bounds.iter().for_each(|bound| bytes.extend_from_slice(&bound.to_le_bytes()));
    bytes.extend_from_slice(&native.zero_threshold.to_le_bytes());
    put_len(bytes, native.max_buckets.into());
    u32::from(native.schema as u8) << 8
}

/// What is left of a record's payload.
pub(super) struct Payload<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Payload<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], LogError> {
        let (taken, rest) =
            self.bytes.split_at_checked(len).ok_or(LogError::Payload { at: self.at, what })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn len(&mut self, what: &'static str, most: usize) -> Result<usize, LogError> {
        let bytes = self.take(4, what)?;
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        if len > most { Err(LogError::Payload { at: self.at, what }) } else { Ok(len) }
    }

    pub(super) fn string(&mut self, what: &'static str, most: usize) -> Result<Box<str>, LogError> {
        let len = self.len(what, most)?;
        let text = std::str::from_utf8(self.take(len, what)?);
        text.map(Box::from).map_err(|_| LogError::Payload { at: self.at, what })
    }

    pub(super) fn family(&mut self, operand: u32) -> Result<Family, LogError> {
        // Lengths are bounded by the record here and by `Family::named` below.
        let any = MAX_RECORD_WORDS * 8;
        let name = self.string("name", any)?;
        let unit = self.string("unit", any)?;
        let help = self.string("help", any)?;
        let labels = self.len("label count", MAX_LABELS)?;
        let labels =
            (0..labels).map(|_| self.string("label", any)).collect::<Result<Vec<_>, _>>()?;
        let kind = self.kind(operand)?;
        let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
        let family = Family::named(kind, &name, &unit, &help, &labels)
            .map_err(|source| LogError::Family { at: self.at, source })?;
        // A name that `new` had to shorten was written by nobody who used `new`.
        if family.name == name {
            Ok(family)
        } else {
            Err(LogError::Payload { at: self.at, what: "name" })
        }
    }

    fn kind(&mut self, operand: u32) -> Result<Kind, LogError> {
        let unknown =
            |what, found: u32| LogError::Unknown { at: self.at, what, found: found.into() };
        let (kind, mode) = (operand & 0xff, operand >> 8);
        match (kind, mode) {
            (0, 0) => Ok(Kind::Counter),
            (1, mode) => {
                let mode = GaugeMode::EVERY.get(mode as usize).copied();
                mode.map(Kind::Gauge).ok_or(unknown("gauge mode", operand >> 8))
            }
            (2, 0) => Ok(Kind::Histogram(self.bounds()?)),
            (3, 0) => Ok(Kind::Summary),
            (4, 0) => Ok(Kind::Info),
            (5, 0) => {
                let count = self.len("state count", MAX_STATES)?;
                let states = (0..count).map(|_| self.string("state", MAX_NAME_BYTES));
                Ok(Kind::StateSet(states.collect::<Result<_, _>>()?))
            }
            (6, 0) => Ok(Kind::Exemplar),
            (7, 0..=0xff) => Ok(Kind::NativeHistogram(self.native(mode as u8 as i8)?)),
            (8, 0..=0xff) => Ok(Kind::Bucket(self.native(mode as u8 as i8)?)),
            (9, _) => {
                let join = Join::of_number(mode & 0xff);
                let declared = Declared::EVERY.get((mode >> 8) as usize).copied();
                let samples = declared.zip(join).map(|(declared, join)| Samples { declared, join });
                samples.map(Kind::Samples).ok_or(unknown("samples", operand))
            }
            _ => Err(unknown("type", operand)),
        }
    }

    fn native(&mut self, schema: i8) -> Result<Native, LogError> {
        let bounds = self.bounds()?;
        let zero_threshold = f64::from_bits(self.word("zero threshold")?);
        let max_buckets = self.len("bucket count", u16::MAX.into())? as u16;
        Ok(Native { schema, zero_threshold, max_buckets, bounds })
    }

    fn bounds(&mut self) -> Result<Box<[f64]>, LogError> {
        let count = self.len("bound count", MAX_BOUNDS)?;
        let bytes = self.take(count * 8, "bounds")?;
        let bound = |bytes: &[u8]| f64::from_le_bytes(std::array::from_fn(|byte| bytes[byte]));
        Ok(bytes.chunks_exact(8).map(bound).collect())
    }

    pub(super) fn word(&mut self, what: &'static str) -> Result<u64, LogError> {
        let bytes = self.take(8, what)?;
        Ok(u64::from_le_bytes(std::array::from_fn(|byte| bytes[byte])))
    }

    pub(super) fn end(&self) -> Result<(), LogError> {
        let padding = self.bytes.len() < 8 && self.bytes.iter().all(|&byte| byte == 0);
        if padding { Ok(()) } else { Err(LogError::Payload { at: self.at, what: "end" }) }
    }
}
