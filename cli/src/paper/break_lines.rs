//! Breaking lines of Japanese text with half-width letters in it: every character is one cell wide or two.

/// Characters that never begin a line (行頭禁則).
const NOT_FIRST: &str =
    "、。，．・：；！？）」』】〕］｝ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々,.:;!?)]}";

/// Width in half-width characters.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// The text in lines of at most `most` half-width characters; at least one line.
pub(crate) fn broken(text: &str, most: usize) -> Vec<String> {
    let most = most.max(4);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for character in paragraph.chars() {
            // A space at the end of a line isn't seen; at the beginning of the next it would be.
            if used + cells(character) > most && character != ' ' {
                let carried = carried(&mut line, character);
                lines.push(std::mem::replace(&mut line, carried));
                used = width(&line);
            }
            line.push(character);
            used += cells(character);
        }
        lines.push(line);
    }
    lines
}

/// What goes to the next line together with a character that can't begin one, and what is left of a word of half-width letters.
fn carried(line: &mut String, next: char) -> String {
    let word = line
        .chars()
        .rev()
        .take_while(|character| cells(*character) == 1 && *character != ' ')
        .count();
    let take = if NOT_FIRST.contains(next) {
        if word <= 16 { word.max(1) } else { 1 }
    } else if cells(next) == 1 && next != ' ' && word > 0 && word <= 16 {
        word
    } else {
        0
    };
    let at = line
        .char_indices()
        .rev()
        .take(take)
        .last()
        .map_or(line.len(), |(at, _)| at);
    if at == 0 {
        return String::new();
    }
    line.split_off(at)
}

fn cells(character: char) -> usize {
    match character {
        '\u{0020}'..='\u{007e}' | '\u{ff61}'..='\u{ff9f}' => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{broken, width};

    #[test]
    fn a_full_width_character_is_two_cells() {
        assert_eq!(width("藤沢 a1"), 7);
        assert_eq!(width("ﾊﾝｶｸ"), 4);
    }

    #[test]
    fn no_line_is_too_long_and_nothing_is_lost() {
        let text = "接種記録を1回目 2021-06-01 コミナティ筋注として提供した（本人同意あり）。abcdefghijklmnopqrstuvwxyz";
        for most in 4..40 {
            let lines = broken(text, most);
            assert!(lines.iter().all(|line| width(line) <= most + 2), "{most}");
            assert_eq!(lines.concat(), text);
        }
    }

    #[test]
    fn a_line_begins_with_no_full_stop_and_breaks_no_short_word() {
        assert_eq!(broken("あいうえ。お", 8), ["あいう", "え。お"]);
        assert_eq!(broken("ああ 2021-06-01", 12), ["ああ ", "2021-06-01"]);
        assert_eq!(broken("記録 10 11）", 10), ["記録 10 ", "11）"]);
        assert_eq!(broken("1日 50 件", 4), ["1日 ", "50 ", "件"]);
        assert_eq!(broken("", 10), [""]);
    }
}
