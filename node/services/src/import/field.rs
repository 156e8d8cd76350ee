//! One row's fields by column, each read into a domain type with the column's name at hand.

use unicode_normalization::UnicodeNormalization;
use vrx_domain::Date;
use zeroize::Zeroizing;

use super::encoding::Encoding;
use super::records::Record;
use super::refusal::Reason;

/// No column holds more bytes than this, before decoding.
const MAX_FIELD_BYTES: usize = 4096;

/// The fields of one row.
pub struct Fields<'a> {
    record: &'a Record,
    encoding: Encoding,
}

impl<'a> Fields<'a> {
    pub(super) fn new(record: &'a Record, encoding: Encoding) -> Self {
        Self { record, encoding }
    }

    /// The bytes of a column that is ASCII or wrong, spaces around them trimmed: numbers and dates need no decoding.
    pub(super) fn ascii(&self, at: usize) -> &'a [u8] {
        self.record.field(at).unwrap_or_default().trim_ascii()
    }

    /// The bytes of a column as ASCII text.
    pub(super) fn code(&self, at: usize) -> Result<&'a str, Reason> {
        let bytes = self.ascii(at);
        if !bytes.is_ascii() {
            // Which characters they are doesn't matter, but whether they are any: bad bytes are told apart from a wrong form.
            self.encoding.decode(bytes)?;
        }
        Ok(std::str::from_utf8(bytes).unwrap_or("\u{fffd}"))
    }

    /// A text of at most `longest` characters; spaces around it, wide ones too, are trimmed.
    pub(super) fn text(&self, at: usize, longest: usize) -> Result<Zeroizing<String>, Reason> {
        let bytes = self.record.field(at).unwrap_or_default();
        if bytes.len() > MAX_FIELD_BYTES {
            return Err(Reason::TooLong);
        }
        let text = self.encoding.decode(bytes)?;
        let trimmed = text.trim();
        if trimmed.chars().count() > longest {
            return Err(Reason::TooLong);
        }
        Ok(Zeroizing::new(trimmed.to_owned()))
    }

    /// The same, and not empty.
    pub(super) fn needed_text(
        &self,
        at: usize,
        longest: usize,
    ) -> Result<Zeroizing<String>, Reason> {
        let text = self.text(at, longest)?;
        if text.is_empty() {
            Err(Reason::Missing)
        } else {
            Ok(text)
        }
    }

    /// A day, `YYYY-MM-DD` or `YYYYMMDD`, or nothing.
    pub(super) fn date(&self, at: usize) -> Result<Option<Date>, Reason> {
        let text = self.code(at)?;
        match text.len() {
            0 => Ok(None),
            8 => Ok(Some(Date::parse_compact(text)?)),
            _ => Ok(Some(text.parse::<Date>()?)),
        }
    }

    /// Whether the column is empty but for spaces.
    pub(super) fn is_empty(&self, at: usize) -> bool {
        let bytes = self.record.field(at).unwrap_or_default();
        bytes.trim_ascii().is_empty()
            || self
                .encoding
                .decode(bytes)
                .is_ok_and(|text| text.trim().is_empty())
    }
}

/// Width-normalises (NFKC): half-width katakana to full width with its marks composed, full-width digits and letters to ASCII.
pub(super) fn widths_normalised(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    out.extend(text.nfkc());
    out
}

/// A name of the header: decoded, trimmed, width-normalised.
pub(super) fn header_name(encoding: Encoding, bytes: &[u8]) -> Result<String, Reason> {
    if bytes.len() > MAX_FIELD_BYTES {
        return Err(Reason::TooLong);
    }
    Ok(widths_normalised(encoding.decode(bytes)?.trim()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_width_kana_become_full_width_with_their_marks_composed() {
        assert_eq!(*widths_normalised("ﾀﾞｲｽｹ ﾊﾟｰｸ ｳﾞｧﾝ"), "ダイスケ パーク ヴァン");
        assert_eq!(*widths_normalised("ヤマダ　タロウ"), "ヤマダ タロウ");
    }

    #[test]
    fn header_names_are_compared_without_regard_to_width() {
        assert_eq!(
            header_name(Encoding::Utf8, " １回目接種日　".as_bytes()).unwrap(),
            "1回目接種日"
        );
        assert_eq!(
            header_name(Encoding::Utf8, "個別宛名番号（空欄）".as_bytes()).unwrap(),
            "個別宛名番号(空欄)"
        );
    }
}
