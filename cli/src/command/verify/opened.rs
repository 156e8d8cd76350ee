//! What an entry commits to: values and keys from a file, compared with the leaf. The individual number is asked for, never in the file; of
//! a look at an entry, and of an entry about another member, the file says which.
//!
//! Only positions are committed, so the names shown are those of the tables in `vrx_domain::audit`, never the file's.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use vrx_domain::audit::{DESK_ACTOR, EXCHANGE_ACTOR, EXCHANGE_CONTENT, subject_table};
use vrx_tlog::{CommitTo, Leaf, opens};
use zeroize::Zeroizing;

use super::{Stop, malformed};
use crate::{command::inquire::read_number, failure::Failure};

/// The kind of an entry about an answer to another municipality.
const EXCHANGE: u8 = 1;

/// The file: of each commitment that is shown, its key and its values in the order of their table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpeningsFile {
    actor: Option<Part>,
    subject: Option<Part>,
    content: Option<Part>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// 32 bytes in hexadecimal.
    key: String,
    values: Vec<Committed>,
}

/// One committed value: text, bytes in hexadecimal, or `null` for the individual number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Committed {
    Text(String),
    Bytes { hex: String },
    Number(()),
}

/// Values that the leaf was found to commit to.
pub(super) struct Opened {
    /// Commitment, name, value. The individual number isn't repeated.
    values: Vec<(&'static str, String, String)>,
}

/// Compares what the file says with the leaf. The number is read from the terminal or the standard input, once, and only if asked for.
pub(super) fn open(text: &str, path: &Path, leaf: &Leaf) -> Result<Opened, Stop> {
    let wrong = |why: &dyn std::fmt::Display| malformed(path, "記録の内容のファイル", why);
    let file: OpeningsFile = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    let exchange = leaf.kind == EXCHANGE;
    // The last of a subject's values says what the first one is.
    let subject = match file.subject.as_ref().and_then(|part| part.values.last()) {
        Some(Committed::Text(action)) => subject_table(leaf.kind, action),
        _ => subject_table(leaf.kind, ""),
    };
    let parts = [
        (
            file.actor,
            CommitTo::Actor,
            &leaf.c_actor,
            Some(if exchange { EXCHANGE_ACTOR } else { DESK_ACTOR }),
        ),
        (
            file.subject,
            CommitTo::Subject,
            &leaf.c_subject,
            Some(subject),
        ),
        (
            file.content,
            CommitTo::Content,
            &leaf.c_content,
            exchange.then_some(EXCHANGE_CONTENT),
        ),
    ];
    let mut opened = Opened { values: Vec::new() };
    for (part, to, commitment, names) in parts {
        let Some(part) = part else {
            continue;
        };
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(
            hex::decode(&part.key)
                .ok()
                .and_then(|key| key.try_into().ok())
                .ok_or_else(|| wrong(&"a key isn't 32 bytes in hexadecimal"))?,
        );
        if names.is_some_and(|names| names.len() != part.values.len()) {
            return Err(wrong(&format!(
                "{} values, the table of {} has another number",
                part.values.len(),
                to.name()
            ))
            .into());
        }
        let number = names.is_some_and(|names| names.first() == Some(&"individual_number"));
        let values = bytes_of(&part.values, number, &wrong)?;
        if !opens(
            commitment,
            &key,
            to,
            values.iter().map(|value| value.as_slice()),
        ) {
            return Err(Stop::NotProved(
                "記録が約束しているのは、示された内容（または個人番号）ではありません",
                format!(
                    "the leaf doesn't commit to what is shown as its {}",
                    to.name()
                ),
            ));
        }
        opened.add(to, names, &part.values);
    }
    if opened.values.is_empty() {
        return Err(wrong(&"it opens nothing").into());
    }
    Ok(opened)
}

fn bytes_of(
    values: &[Committed],
    begins_with_number: bool,
    wrong: &dyn Fn(&dyn std::fmt::Display) -> Failure,
) -> Result<Vec<Zeroizing<Vec<u8>>>, Failure> {
    let mut bytes = Vec::with_capacity(values.len());
    for (place, value) in values.iter().enumerate() {
        let number = begins_with_number && place == 0;
        bytes.push(Zeroizing::new(match value {
            Committed::Number(()) if number => read_number(None)?.digits().to_vec(),
            Committed::Number(()) => {
                return Err(wrong(
                    &"only the individual number, the first value of a person's subject, is null",
                ));
            }
            _ if number => {
                return Err(wrong(
                    &"the individual number never stands in a file: write null, it is asked for",
                ));
            }
            Committed::Text(text) => text.as_bytes().to_vec(),
            Committed::Bytes { hex } => {
                hex::decode(hex).map_err(|_| wrong(&"bytes aren't hexadecimal"))?
            }
        }));
    }
    Ok(bytes)
}

impl Opened {
    /// Takes over the values of one commitment that was opened.
    fn add(&mut self, to: CommitTo, names: Option<&[&'static str]>, values: &[Committed]) {
        let shown = |value: &Committed| match value {
            // Another municipality's words: nothing in them may steer a terminal.
            Committed::Text(text) => text.replace(char::is_control, "\u{fffd}"),
            Committed::Bytes { hex } => hex.clone(),
            Committed::Number(()) => "一致 (matches)".to_owned(),
        };
        match names {
            Some(names) => self.values.extend(
                names
                    .iter()
                    .zip(values)
                    .map(|(name, value)| (to.name(), (*name).to_owned(), shown(value))),
            ),
            // Name and value in turn, both committed.
            None => self.values.extend(values.chunks(2).map(|pair| {
                let text = |at: usize| pair.get(at).map(shown).unwrap_or_default();
                (to.name(), text(0), text(1))
            })),
        }
    }

    /// That the entry says what is shown: Japanese and English.
    pub(super) fn sentence(&self) -> (String, String) {
        let count = self.values.len();
        (
            format!("。記録は、示された {count} 項目のとおりです"),
            format!("; it commits to the {count} values shown"),
        )
    }

    /// For people: commitment, name, value.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        self.values
            .iter()
            .map(|(to, name, value)| vec![(*to).to_owned(), name.clone(), value.clone()])
            .collect()
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let mut all = Map::new();
        for (to, name, value) in &self.values {
            let part = all
                .entry((*to).to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(part) = part {
                let value = if name == "individual_number" {
                    json!(true)
                } else {
                    json!(value)
                };
                part.insert(name.clone(), value);
            }
        }
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, Stop, open};
    use vrx_tlog::{CommitTo, Leaf, commit};

    fn leaf(kind: u8) -> Leaf {
        let committed = |to, values: &[&str]| {
            commit(&[7; 32], to, values.iter().map(|value| value.as_bytes())).unwrap()
        };
        Leaf {
            kind,
            index: 0,
            time: 0,
            entry_id: [0; 16],
            key_epoch: 1,
            c_subject: [0; 32],
            c_actor: committed(CommitTo::Actor, &["who", "with", "act\u{1b}[2J"]),
            c_content: committed(CommitTo::Content, &["name", "value", "other", "thing"]),
        }
    }

    fn file() -> String {
        let key = "07".repeat(32);
        format!(
            r#"{{"actor":{{"key":"{key}","values":["who",{{"hex":"77697468"}},"act\u001b[2J"]}},"content":{{"key":"{key}","values":["name","value","other","thing"]}}}}"#
        )
    }

    #[test]
    fn values_get_the_names_of_their_table_and_steer_no_terminal() {
        let opened = open(&file(), Path::new("f"), &leaf(3)).ok().unwrap();
        assert_eq!(
            opened.rows(),
            [
                ["actor", "caller", "who"],
                ["actor", "caller_certificate_sha256", "77697468"],
                ["actor", "action", "act\u{fffd}[2J"],
                ["content", "name", "value"],
                ["content", "other", "thing"],
            ]
        );
        // The same values aren't an exchange entry's.
        assert!(matches!(
            open(&file(), Path::new("f"), &leaf(1)),
            Err(Stop::Failed(_))
        ));
        let changed = file().replace("thing", "thinG");
        assert!(matches!(
            open(&changed, Path::new("f"), &leaf(3)),
            Err(Stop::NotProved(..))
        ));
    }

    #[test]
    fn a_look_is_opened_with_the_place_that_it_was_at_and_without_a_number() {
        let key = "07".repeat(32);
        let file = |values: &str| format!(r#"{{"subject":{{"key":"{key}","values":{values}}}}}"#);
        let look = |at: &str| {
            let values = [at.as_bytes(), b"log-show"];
            let c_subject = commit(&[7; 32], CommitTo::Subject, values).unwrap();
            Leaf {
                c_subject,
                ..leaf(3)
            }
        };
        let opened = open(&file(r#"["12","log-show"]"#), Path::new("f"), &look("12"));
        assert_eq!(
            opened.ok().unwrap().rows(),
            [
                ["subject", "entry", "12"],
                ["subject", "action", "log-show"]
            ]
        );
        let other = open(&file(r#"["13","log-show"]"#), Path::new("f"), &look("12"));
        assert!(matches!(other, Err(Stop::NotProved(..))));
        let values = [&b"141003"[..], b"reconcile"];
        let c_subject = commit(&[7; 32], CommitTo::Subject, values).unwrap();
        let member = Leaf {
            c_subject,
            ..leaf(4)
        };
        let opened = open(&file(r#"["141003","reconcile"]"#), Path::new("f"), &member);
        assert_eq!(
            opened.ok().unwrap().rows()[0],
            ["subject", "member", "141003"]
        );
        for wrong in [r#"[null,"log-show"]"#, r#"["12","adopt"]"#] {
            let refused = open(&file(wrong), Path::new("f"), &look("12"));
            assert!(matches!(refused, Err(Stop::Failed(_))), "{wrong}");
        }
    }

    #[test]
    fn no_damaged_file_makes_it_panic_or_opens_anything() {
        let whole = file().into_bytes();
        for at in 0..whole.len() {
            for byte in [b'0', b'"', b'{', b']', b',', 0xff, 0] {
                let mut damaged = whole.clone();
                if damaged[at] == byte {
                    continue;
                }
                damaged[at] = byte;
                let text = String::from_utf8_lossy(&damaged);
                assert!(open(&text, Path::new("f"), &leaf(3)).is_err(), "{text}");
                assert!(
                    open(
                        &text[..text.floor_char_boundary(at)],
                        Path::new("f"),
                        &leaf(3)
                    )
                    .is_err()
                );
            }
        }
    }
}
