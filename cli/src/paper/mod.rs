//! A document on paper and on the screen: a title, sentences, and blocks of facts. The same document always makes the same bytes.

mod break_lines;
mod pdf;

pub(crate) use pdf::pdf;

use break_lines::{broken, width};

/// What is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// 標題
    pub(crate) title: String,
    /// The time in Japan of what it tells; never the time at which it is printed.
    pub(crate) dated: jiff::civil::DateTime,
    /// What stands below the title: label and value.
    pub(crate) facts: Vec<Fact>,
    /// Sentences that must not be overlooked, before everything else.
    pub(crate) warnings: Vec<String>,
    /// One after the other.
    pub(crate) blocks: Vec<Block>,
    /// Sentences at the end.
    pub(crate) notes: Vec<String>,
}

/// A label and its value.
pub(crate) type Fact = (String, String);

/// Some facts under a heading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The heading.
    pub(crate) heading: String,
    /// Label and value.
    pub(crate) facts: Vec<Fact>,
}

/// A fact.
pub(crate) fn fact(label: &str, value: impl Into<String>) -> Fact {
    (label.to_owned(), value.into())
}

/// Width of a line on the screen, in half-width characters.
const SCREEN: usize = 96;

/// The document as lines of text.
pub(crate) fn text(document: &Document) -> String {
    let mut lines = vec![document.title.clone(), "=".repeat(width(&document.title))];
    lines.extend(facts(&document.facts, ""));
    let warned = document.warnings.iter();
    lines.extend(warned.flat_map(|warning| broken(&format!("！{warning}"), SCREEN)));
    for block in &document.blocks {
        lines.push(String::new());
        lines.push(block.heading.clone());
        lines.extend(facts(&block.facts, "  "));
    }
    lines.push(String::new());
    lines.extend(document.notes.iter().flat_map(|note| broken(note, SCREEN)));
    lines.join("\n")
}

fn facts(facts: &[Fact], indent: &str) -> Vec<String> {
    let labels = label_width(facts);
    let left = SCREEN.saturating_sub(indent.len() + labels + 2);
    let mut lines = Vec::new();
    for (label, value) in facts {
        for (nth, part) in broken(value, left).into_iter().enumerate() {
            let label = if nth == 0 { label.as_str() } else { "" };
            let gap = " ".repeat(labels.saturating_sub(width(label)) + 2);
            lines.push(format!("{indent}{label}{gap}{part}"));
        }
    }
    lines
}

/// Width of the longest label, in half-width characters.
fn label_width(facts: &[Fact]) -> usize {
    facts
        .iter()
        .map(|(label, _)| width(label))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Block, Document, fact, text};

    pub(crate) fn sample(blocks: usize) -> Document {
        Document {
            title: "提供記録等の開示".to_owned(),
            dated: jiff::civil::date(2026, 11, 23).at(12, 0, 0, 0),
            facts: vec![
                fact("実施機関", "神奈川県藤沢市"),
                fact("記録の件数", "2 件"),
            ],
            warnings: vec!["記録が1件欠けています。".to_owned()],
            blocks: (1..=blocks)
                .map(|nth| Block {
                    heading: format!("{nth}. 提供"),
                    facts: vec![
                        fact("相手方", "他市区町村"),
                        fact("接種", "1回目 2021-06-01 コミナティ筋注、".repeat(4)),
                        fact("証明", "a".repeat(200)),
                    ],
                })
                .collect(),
            notes: vec!["以上です。".to_owned()],
        }
    }

    #[test]
    fn text_has_everything_with_values_below_each_other() {
        let shown = text(&sample(1));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "提供記録等の開示");
        assert_eq!(lines[1], "================");
        assert_eq!(lines[2], "実施機関    神奈川県藤沢市");
        assert_eq!(lines[4], "！記録が1件欠けています。");
        assert!(shown.contains("  相手方  他市区町村"), "{shown}");
        assert!(lines.iter().all(|line| super::width(line) <= super::SCREEN));
    }
}
