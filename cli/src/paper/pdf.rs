//! The document as PDF/A, A4, with the glyphs that it uses out of one embedded Japanese typeface. Text stays text: it can be searched and copied.

use krilla::color::rgb;
use krilla::configure::{Archival, ConfigurationBuilder};
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::text::{Font, TextDirection};
use krilla::{Data, SerializeSettings};

use super::break_lines::{broken, width};
use super::{Document, Fact, label_width};
use crate::failure::Failure;

/// BIZ `UDGothic` Regular, SIL Open Font License 1.1; see the README beside it.
static TYPEFACE: &[u8] = include_bytes!("../../assets/font/BIZUDGothic-Regular.ttf");

/// A4 in points.
const PAGE: (f32, f32) = (595.28, 841.89);
const MARGIN: f32 = 56.0;
const BODY: f32 = 9.5;
const TITLE: f32 = 16.0;
const HEADING: f32 = 10.5;
/// Height of a line, in the size of its letters.
const LEADING: f32 = 1.5;
/// A block of at most so many lines stands on one page.
const WHOLE: usize = 24;
/// Room between a label and its value, in half-width characters.
const GAP: usize = 2;

/// The document's bytes.
pub(crate) fn pdf(document: &Document) -> Result<Vec<u8>, Failure> {
    let lines = lines(document);
    let pages = pages(&lines);
    let configuration = ConfigurationBuilder::new()
        .with_archival_validator(Archival::A2_B)
        .finish()
        .map_err(|_| cannot("configuration"))?;
    let mut out = krilla::Document::new_with(SerializeSettings {
        configuration,
        ..SerializeSettings::default()
    });
    out.set_metadata(
        Metadata::new()
            .title(document.title.clone())
            .language("ja".to_owned())
            .creation_date(date(document.dated))
            .creator("vrx".to_owned()),
    );
    let font = Font::new(Data::from(TYPEFACE), 0).ok_or_else(|| cannot("typeface"))?;
    let settings = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or_else(|| cannot("page"))?;
    for (nth, lines) in pages.iter().enumerate() {
        let mut page = out.start_page_with(settings.clone());
        let mut surface = page.surface();
        surface.set_fill(Some(ink()));
        for placed in lines {
            if placed.line.ruled {
                surface.draw_path(&rule(placed.y - placed.line.size * LEADING)?);
            }
            for (x, text) in &placed.line.texts {
                let start = Point::from_xy(MARGIN + x, placed.y);
                let size = placed.line.size;
                surface.draw_text(
                    start,
                    font.clone(),
                    size,
                    text,
                    false,
                    TextDirection::LeftToRight,
                );
            }
        }
        // Sheets get mixed up: each says what it belongs to.
        let number = format!("{} / {}", nth + 1, pages.len());
        let right = PAGE.0 - 2.0 * MARGIN - in_cells(width(&number));
        for (x, text) in [(0.0, &document.title), (right, &number)] {
            surface.draw_text(
                Point::from_xy(MARGIN + x, PAGE.1 - MARGIN / 2.0),
                font.clone(),
                BODY,
                text,
                false,
                TextDirection::LeftToRight,
            );
        }
        surface.finish();
        page.finish();
    }
    out.finish().map_err(|error| cannot(&format!("{error:?}")))
}

/// A line before it has its place on a page.
#[derive(Debug, Clone, Default)]
struct Line {
    size: f32,
    /// Texts by their distance from the left margin.
    texts: Vec<(f32, String)>,
    /// Room above it.
    above: f32,
    /// A thin rule is drawn above it.
    ruled: bool,
    /// It stays on one page with the next.
    keep: bool,
}

struct Placed<'a> {
    line: &'a Line,
    y: f32,
}

fn lines(document: &Document) -> Vec<Line> {
    let mut lines = vec![Line {
        size: TITLE,
        texts: vec![(0.0, document.title.clone())],
        ..Line::default()
    }];
    facts(&document.facts, 6.0, &mut lines);
    for warning in &document.warnings {
        sentences(&format!("！{warning}"), HEADING, &mut lines);
    }
    for block in &document.blocks {
        let begin = lines.len();
        lines.push(Line {
            size: HEADING,
            texts: vec![(0.0, block.heading.clone())],
            above: 10.0,
            ruled: true,
            keep: true,
        });
        facts(&block.facts, 0.0, &mut lines);
        if let Some([whole @ .., _last]) = lines.get_mut(begin..)
            && whole.len() < WHOLE
        {
            for line in whole {
                line.keep = true;
            }
        }
    }
    for (nth, note) in document.notes.iter().enumerate() {
        if nth == 0 {
            lines.push(Line {
                size: 4.0,
                above: 10.0,
                ruled: true,
                keep: true,
                ..Line::default()
            });
        }
        sentences(note, BODY, &mut lines);
    }
    lines
}

fn facts(facts: &[Fact], above: f32, lines: &mut Vec<Line>) {
    let labels = label_width(facts) + GAP;
    let left = cells(BODY).saturating_sub(labels);
    for (nth, (label, value)) in facts.iter().enumerate() {
        for (part, text) in broken(value, left).into_iter().enumerate() {
            let mut texts = vec![(in_cells(labels), text)];
            if part == 0 {
                texts.insert(0, (0.0, label.clone()));
            }
            lines.push(Line {
                size: BODY,
                texts,
                above: if nth + part == 0 { above } else { 0.0 },
                ..Line::default()
            });
        }
    }
}

fn sentences(text: &str, size: f32, lines: &mut Vec<Line>) {
    let parts = broken(text, cells(size));
    lines.extend(parts.into_iter().enumerate().map(|(nth, part)| Line {
        size,
        texts: vec![(0.0, part)],
        above: if nth == 0 { 3.0 } else { 0.0 },
        ..Line::default()
    }));
}

/// Fills page after page; lines that are to be kept together go over together.
fn pages(lines: &[Line]) -> Vec<Vec<Placed<'_>>> {
    let bottom = PAGE.1 - MARGIN;
    let (mut pages, mut page, mut y) = (Vec::new(), Vec::new(), MARGIN);
    for (nth, line) in lines.iter().enumerate() {
        let height = |line: &Line| line.above + line.size * LEADING;
        let mut needed = height(line);
        let goes_on = nth > 0 && lines.get(nth - 1).is_some_and(|before| before.keep);
        let mut next = nth + 1;
        while !goes_on && lines.get(next - 1).is_some_and(|before| before.keep) {
            needed += lines.get(next).map_or(0.0, height);
            next += 1;
        }
        if y + needed > bottom && !page.is_empty() {
            pages.push(std::mem::take(&mut page));
            y = MARGIN;
        }
        y += height(line);
        page.push(Placed { line, y });
    }
    pages.push(page);
    pages
}

/// Half-width characters in a line of this size.
fn cells(size: f32) -> usize {
    let mut cells = 0_usize;
    let (mut used, room) = (size / 2.0, PAGE.0 - 2.0 * MARGIN);
    while used <= room {
        cells += 1;
        used += size / 2.0;
    }
    cells
}

fn in_cells(cells: usize) -> f32 {
    f32::from(u16::try_from(cells).unwrap_or(u16::MAX)) * BODY / 2.0
}

fn rule(top: f32) -> Result<krilla::geom::Path, Failure> {
    let mut path = PathBuilder::new();
    path.push_rect(
        Rect::from_xywh(MARGIN, top, PAGE.0 - 2.0 * MARGIN, 0.4).ok_or_else(|| cannot("rule"))?,
    );
    path.finish().ok_or_else(|| cannot("rule"))
}

fn date(at: jiff::civil::DateTime) -> DateTime {
    let small = |part: i8| u8::try_from(part).unwrap_or(0);
    DateTime::new(u16::try_from(at.year()).unwrap_or(0))
        .month(small(at.month()))
        .day(small(at.day()))
        .hour(small(at.hour()))
        .minute(small(at.minute()))
        .second(small(at.second()))
        .utc_offset_hour(9)
        .utc_offset_minute(0)
}

fn ink() -> Fill {
    Fill {
        paint: rgb::Color::new(0, 0, 0).into(),
        opacity: NormalizedF32::ONE,
        ..Fill::default()
    }
}

fn cannot(what: &str) -> Failure {
    Failure::Unavailable(format!(
        "PDF を作れません。この文を添えて運用担当者に連絡してください / no PDF: {what}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::{BODY, MARGIN, PAGE, cells, lines, pages, pdf};

    #[test]
    fn the_same_document_makes_the_same_bytes_and_another_makes_others() {
        let one = pdf(&sample(3)).unwrap();
        assert!(one.starts_with(b"%PDF-"));
        assert_eq!(one, pdf(&sample(3)).unwrap());
        assert_ne!(one, pdf(&sample(2)).unwrap());
        assert!(one.len() < 200_000, "the whole typeface went in");
    }

    #[test]
    fn a_long_block_goes_on_over_pages_behind_its_heading() {
        let mut long = sample(1);
        let block = &mut long.blocks[0];
        block.facts = (0..200)
            .map(|nth| super::super::fact("者", nth.to_string()))
            .collect();
        let lines = lines(&long);
        let pages = pages(&lines);
        assert!(pages.len() > 3);
        for page in &pages[..pages.len() - 1] {
            let last = page.last().map_or(0.0, |placed| placed.y);
            assert!(last > PAGE.1 - 2.0 * MARGIN, "room is left at {last}");
        }
        assert!(pages.iter().flatten().all(|placed| placed.y < PAGE.1));
    }

    #[test]
    fn nothing_stands_below_the_page_and_no_block_is_torn() {
        let lines = lines(&sample(40));
        let pages = pages(&lines);
        assert!(pages.len() > 3);
        for page in &pages {
            assert!(page.iter().all(|placed| placed.y < PAGE.1));
            assert!(page.last().is_some_and(|placed| !placed.line.keep));
        }
        let placed: usize = pages.iter().map(Vec::len).sum();
        assert_eq!(placed, lines.len());
        assert!((100..=102).contains(&cells(BODY)));
    }
}
