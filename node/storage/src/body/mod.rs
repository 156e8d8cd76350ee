//! What stands inside sealed columns: a compact binary form, one file a row type.
//!
//! The envelope puts a format byte before the plaintext (`vrx-crypto`); the bodies here are format 1. Integers are
//! big-endian, byte strings carry a u16 length, an optional field carries a byte 0 or 1 before it. Reading is strict: a
//! wrong length, a value out of its range or a byte too many is [`Malformed`], which says nothing about the value.

mod dose;
mod erasure;
mod import;
mod inquiry;
mod person;

pub(crate) use dose::{DoseBody, decode_dose, encode_dose};
pub(crate) use erasure::{decode_erasure, decode_hold, encode_erasure, encode_hold};
pub(crate) use import::{decode_import, encode_import};
pub(crate) use inquiry::{decode_inquiry, encode_inquiry};
pub(crate) use person::{PersonBody, decode_person, encode_person};

use vrx_domain::Date;
use zeroize::{Zeroize, Zeroizing};

/// A body that isn't in its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Writes a body. Room is made ahead, so that growing seldom leaves copies of a resident behind in freed memory; where
/// it does grow, the old bytes are wiped.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(512)))
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity() * 2));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    /// A byte string of at most 65,535 bytes: [`Malformed`] if it is longer.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let length = u16::try_from(bytes.len()).map_err(|_| Malformed)?;
        self.raw(&length.to_be_bytes());
        self.raw(bytes);
        Ok(())
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), Malformed> {
        self.bytes(text.as_bytes())
    }

    /// Year u16, month u8, day u8, in one u32.
    pub(crate) fn date(&mut self, date: Date) {
        self.u32(date.year() << 16 | date.month() << 8 | date.day());
    }

    pub(crate) fn option<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match value {
            None => {
                self.u8(0);
                Ok(())
            }
            Some(value) => {
                self.u8(1);
                write(self, value)
            }
        }
    }
}

/// Reads a body from its start to its very end.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Everything must have been read.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Whether nothing is left: what came with a later version may be missing.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.array().map(u16::from_be_bytes)?);
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn date(&mut self) -> Result<Date, Malformed> {
        let packed = self.u32()?;
        Date::from_ymd(packed >> 16, packed >> 8 & 0xff, packed & 0xff).map_err(|_| Malformed)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_to_its_very_end() {
        let mut writer = Writer::new();
        writer.u32(7);
        writer.text("宛名").unwrap();
        let mut bytes = writer.finish();
        bytes.push(0);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32(), Ok(7));
        assert_eq!(reader.text(), Ok("宛名"));
        assert_eq!(reader.end(), Err(Malformed));
    }

    #[test]
    fn a_cut_body_is_malformed_wherever_it_is_cut() {
        let mut writer = Writer::new();
        writer.text("abc").unwrap();
        let bytes = writer.finish();
        for end in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..end]).text(), Err(Malformed));
        }
    }

    #[test]
    fn growing_keeps_what_was_written() {
        let mut writer = Writer::new();
        let long = vec![7; 60_000];
        writer.bytes(&[1, 2, 3]).unwrap();
        writer.bytes(&long).unwrap();
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.bytes(), Ok(&[1, 2, 3][..]));
        assert_eq!(reader.bytes(), Ok(&long[..]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn a_field_too_long_for_its_length_is_refused() {
        assert_eq!(Writer::new().bytes(&vec![0; 65_536]), Err(Malformed));
    }
}
