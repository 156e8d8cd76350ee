//! Bytes to text, field by field, so that one bad character costs one row.
//!
//! CP932 (Windows-31J) decoders agree on what they read and differ in what they write (髙 is `FB FC` or `EE E0`; both are read). Traps that are refused
//! rather than guessed: the user-defined range `F0 40`–`F9 FC` (外字) decodes to the private use area U+E000…, whose shape only the sender knows;
//! single bytes `80`, `A0`, `FD`–`FF`, which some decoders turn into private or control characters; and in UTF-8 the U+FFFD that an earlier lossy
//! conversion left. CSV syntax may be found before decoding: `"`, `,`, CR and LF are never a second byte in CP932.

use encoding_rs::SHIFT_JIS;
use zeroize::Zeroizing;

use super::refusal::Reason;

/// How the text of a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// CP932, Windows-31J: what Japanese Windows calls `Shift_JIS`.
    Cp932,
}

impl Encoding {
    /// The usual name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Cp932 => "CP932",
        }
    }

    /// Decodes one field whole, or says why not. Line breaks within a quoted field become spaces.
    pub fn decode(self, bytes: &[u8]) -> Result<Zeroizing<String>, Reason> {
        let mut text = Zeroizing::new(String::with_capacity(longest_utf8(bytes.len())));
        match self {
            Self::Utf8 => {
                text.push_str(std::str::from_utf8(bytes).map_err(|_| Reason::Undecodable)?);
            }
            Self::Cp932 => {
                // Into room that is large enough from the start: a growing string would leave copies of a name behind.
                let (_, read, had_errors) = SHIFT_JIS
                    .new_decoder_without_bom_handling()
                    .decode_to_string(bytes, &mut text, true);
                if had_errors || read != bytes.len() {
                    return Err(Reason::Undecodable);
                }
            }
        }
        if let Some(reason) = text.chars().find_map(refused) {
            return Err(reason);
        }
        if text.contains('\n') {
            text = Zeroizing::new(text.replace("\r\n", " ").replace('\n', " "));
        }
        if text.contains('\r') {
            Err(Reason::Control)
        } else {
            Ok(text)
        }
    }
}

/// A CP932 byte becomes at most three bytes of UTF-8 (half-width katakana); a malformed one U+FFFD, three as well.
fn longest_utf8(len: usize) -> usize {
    len.saturating_mul(3).saturating_add(16)
}

fn refused(character: char) -> Option<Reason> {
    match character {
        '\u{fffd}' => Some(Reason::Undecodable),
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => Some(Reason::PrivateUse),
        '\r' | '\n' => None,
        // What turns the direction of text around can make a name read as another.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => Some(Reason::Control),
        character if character.is_control() => Some(Reason::Control),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cp932(bytes: &[u8]) -> Result<String, Reason> {
        Encoding::Cp932.decode(bytes).map(|text| text.to_string())
    }

    #[test]
    fn both_spellings_of_takahashi_are_read() {
        assert_eq!(cp932(b"\xfb\xfc\x8b\xb4").unwrap(), "髙橋");
        assert_eq!(cp932(b"\xee\xe0\x8b\xb4").unwrap(), "髙橋");
    }

    #[test]
    fn windows_dashes_and_tildes_are_the_full_width_ones() {
        assert_eq!(cp932(b"\x81\x60\x81\x7c").unwrap(), "～－");
        assert_eq!(cp932(b"\xca\xdf\xb0").unwrap(), "ﾊﾟｰ");
        assert_eq!(cp932(b"\x5c\x7e").unwrap(), "\\~");
    }

    #[test]
    fn second_bytes_that_look_like_syntax_are_text() {
        // 表 is 95 5C and ソ 83 5C: their second byte is a backslash.
        assert_eq!(cp932(b"\x95\x5c\x83\x5c").unwrap(), "表ソ");
    }

    #[test]
    fn user_defined_characters_are_refused_in_both_encodings() {
        assert_eq!(cp932(b"\xf0\x40"), Err(Reason::PrivateUse));
        assert_eq!(cp932(b"\xf9\xfc"), Err(Reason::PrivateUse));
        assert_eq!(
            Encoding::Utf8.decode("\u{e000}".as_bytes()).unwrap_err(),
            Reason::PrivateUse
        );
        assert_eq!(
            Encoding::Utf8.decode("\u{f0000}".as_bytes()).unwrap_err(),
            Reason::PrivateUse
        );
    }

    #[test]
    fn bytes_outside_the_encoding_are_refused() {
        for bytes in [
            &b"\xa0"[..],
            b"\xff",
            b"\xfd",
            b"\xfe",
            b"\x81",
            b"\x81\x20",
            b"A\xa0B",
        ] {
            assert_eq!(cp932(bytes), Err(Reason::Undecodable), "{bytes:x?}");
        }
        assert_eq!(cp932(b"\x80"), Err(Reason::Control));
        assert_eq!(
            Encoding::Utf8.decode(b"\xfb\xfc").unwrap_err(),
            Reason::Undecodable
        );
        assert_eq!(
            Encoding::Utf8.decode("\u{fffd}".as_bytes()).unwrap_err(),
            Reason::Undecodable
        );
    }

    #[test]
    fn control_and_direction_characters_are_refused_and_line_breaks_become_spaces() {
        for text in ["a\0b", "a\tb", "a\u{7f}", "a\u{202e}b", "a\rb", "\u{85}"] {
            assert_eq!(
                Encoding::Utf8.decode(text.as_bytes()).unwrap_err(),
                Reason::Control,
                "{text:?}"
            );
        }
        assert_eq!(*Encoding::Utf8.decode(b"a\r\nb\nc").unwrap(), "a b c");
    }

    #[test]
    fn every_two_bytes_decode_into_clean_text_or_are_refused() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                if let Ok(text) = cp932(&[first, second]) {
                    assert!(text.chars().all(|c| refused(c).is_none()));
                }
            }
        }
    }
}
