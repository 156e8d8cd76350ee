//! No text of this program repeats a number that may be somebody's: whoever types the individual number where it doesn't belong finds it
//! neither on the screen nor in a transcript of it.

/// A run of digits this long may be an individual number, or most of one.
const LONG: usize = 10;

/// What stands in the place of each digit.
const MASK: char = '*';

/// The text with every digit of a long run masked, and of three groups of four as a card prints them; `None` where there is none.
pub(crate) fn masked(text: &str) -> Option<String> {
    let mut shown: Vec<char> = text.chars().collect();
    let mut found = false;
    let mut at = 0;
    while at < shown.len() {
        let rest = shown.get(at..).unwrap_or_default();
        let (length, digits) = (run(rest), card(rest));
        let hidden = if length >= LONG { length } else { digits };
        let hide = shown.iter_mut().skip(at).take(hidden);
        for digit in hide.filter(|one| is_digit(**one)) {
            *digit = MASK;
            found = true;
        }
        at += hidden.max(length).max(1);
    }
    found.then(|| shown.into_iter().collect())
}

/// How many digits the text begins with.
fn run(text: &[char]) -> usize {
    text.iter().take_while(|one| is_digit(**one)).count()
}

/// The length of three groups of four digits with which the text begins; 0 where it doesn't.
fn card(text: &[char]) -> usize {
    let mut length = 0;
    for group in 0..3 {
        if group > 0 {
            if !text.get(length).is_some_and(|one| is_separator(*one)) {
                return 0;
            }
            length += 1;
        }
        if run(text.get(length..).unwrap_or_default()) != 4 {
            return 0;
        }
        length += 4;
    }
    length
}

/// Japanese input methods write digits at full width.
fn is_digit(one: char) -> bool {
    one.is_ascii_digit() || ('０'..='９').contains(&one)
}

fn is_separator(one: char) -> bool {
    matches!(one, ' ' | '-' | '\u{3000}' | '－' | '−' | 'ー')
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn what_may_be_a_number_is_masked_however_it_was_typed() {
        for (typed, shown) in [
            (
                "argument '214075123477' found",
                "argument '************' found",
            ),
            ("2140751234", "**********"),
            ("x214075123477.txt: none", "x************.txt: none"),
            ("２１４０７５１２３４７７", "************"),
            (
                "2140-7512-3477 2140 7512 3477",
                "****-****-**** **** **** ****",
            ),
            ("142051 214075123477", "142051 ************"),
        ] {
            assert_eq!(masked(typed).as_deref(), Some(shown));
        }
    }

    #[test]
    fn codes_dates_indexes_and_ports_are_left_alone() {
        for text in [
            "",
            "142051",
            "2026-04-01T09:30:00+09:00",
            "提供記録 123456789 番",
            "127.0.0.1:7443",
            "2026-1118-1",
            "12345-1234-1234",
            "7d5c2f1a-1234-4bcd-8e9f-0123456789ab",
        ] {
            let expected = text
                .contains("0123456789ab")
                .then(|| text.replace("0123456789", "**********"));
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
