//! The two encodings in which municipal CSV files come, and how to tell them apart.
//!
//! A whole file is read before the first row leaves: a file whose first CP932 character stands in its last row must not be taken for UTF-8.

use std::{io::Read, path::Path};

use clap::ValueEnum;

use crate::failure::Failure;

/// How the bytes of a CSV file stand for characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    /// CP932 (Windows-31J, what municipal systems call Shift-JIS).
    #[value(name = "cp932", alias = "shift_jis", alias = "sjis")]
    Cp932,
}

impl Encoding {
    /// The bytes of `text`; nothing when a character doesn't exist in this encoding. (`encoding_rs` would by default write `&#12316;`
    /// for such a character, which is silent corruption of a name.)
    pub(crate) fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Cp932 => {
                let mut encoder = encoding_rs::SHIFT_JIS.new_encoder();
                let room = encoder.max_buffer_length_from_utf8_without_replacement(text.len())?;
                let mut bytes = vec![0; room];
                let (result, _, written) =
                    encoder.encode_from_utf8_without_replacement(text, &mut bytes, true);
                bytes.truncate(written);
                (result == encoding_rs::EncoderResult::InputEmpty).then_some(bytes)
            }
        }
    }

    /// How a person calls it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Cp932 => "CP932",
        }
    }
}

/// Reads the whole file: UTF-8 when every byte of it is valid UTF-8, CP932 otherwise.
pub(crate) fn detect(path: &Path) -> Result<Encoding, Failure> {
    let file =
        std::fs::File::open(path).map_err(|error| Failure::file("読み込み", path, &error))?;
    detect_in(file).map_err(|error| Failure::file("読み込み", path, &error))
}

fn detect_in(mut input: impl Read) -> std::io::Result<Encoding> {
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut kept = 0; // the first bytes of a character whose rest comes with the next read
    loop {
        let read = match buffer.get_mut(kept..) {
            Some(room) => input.read(room)?,
            None => 0,
        };
        let filled = kept + read;
        if read == 0 {
            return Ok(if kept == 0 {
                Encoding::Utf8
            } else {
                Encoding::Cp932
            });
        }
        kept = match std::str::from_utf8(buffer.get(..filled).unwrap_or_default()) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_some() => return Ok(Encoding::Cp932),
            Err(error) => {
                buffer.copy_within(error.valid_up_to()..filled, 0);
                filled - error.valid_up_to()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, detect_in};

    /// Hands its bytes out one at a time, so that each character is cut everywhere.
    struct Drip<'a>(&'a [u8]);

    impl std::io::Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let (Some((first, rest)), Some(slot)) = (self.0.split_first(), buffer.first_mut())
            else {
                return Ok(0);
            };
            *slot = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn utf_8_is_recognised_even_when_characters_are_cut() {
        assert_eq!(
            detect_in(Drip("個人番号,髙橋,𠮷野\r\n".as_bytes())).unwrap(),
            Encoding::Utf8
        );
        assert_eq!(detect_in(Drip(b"")).unwrap(), Encoding::Utf8);
        assert_eq!(detect_in(Drip(b"ascii only\r\n")).unwrap(), Encoding::Utf8);
    }

    #[test]
    fn a_cp932_character_in_the_last_row_is_enough() {
        let mut bytes = "ascii,rows\r\n".repeat(100_000).into_bytes();
        bytes.extend(Encoding::Cp932.encode("髙").unwrap());
        assert_eq!(detect_in(bytes.as_slice()).unwrap(), Encoding::Cp932);
    }

    #[test]
    fn a_character_cut_off_at_the_end_is_not_utf_8() {
        let bytes = "番号".as_bytes();
        assert_eq!(detect_in(&bytes[..5]).unwrap(), Encoding::Cp932);
    }

    #[test]
    fn a_character_that_cp932_lacks_is_refused_instead_of_replaced() {
        assert_eq!(Encoding::Cp932.encode("𠮷野"), None);
        assert_eq!(Encoding::Cp932.encode("あ〜"), None);
        assert_eq!(Encoding::Cp932.encode("髙").unwrap(), [0xFB, 0xFC]);
    }
}
