//! The program `vrx` at a desk of the demo.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::demo::{Demo, FUJISAWA, program};

/// An inquiry to Fujisawa, as arguments of `vrx`; whom it is about comes on the standard input.
pub const INQUIRE: [&str; 15] = [
    "inquire",
    "--from",
    FUJISAWA,
    "--consent-reference",
    "consent-desk-1",
    "--consent-date",
    "2024-06-01",
    "--register-checked-at",
    "now",
    "--document-checked-at",
    "now",
    "--event-reference",
    "tennyu-desk-1",
    "--event-date",
    "2024-06-01",
];

/// How one run of `vrx --json` ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Ended {
    /// What stands on the standard output.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.output)
            .with_context(|| format!("{}\n{}", self.output, self.errors))
    }

    /// The same of a run that must have ended well.
    pub fn done(&self) -> anyhow::Result<Value> {
        ensure!(self.code == 0, "exit code {}: {}", self.code, self.errors);
        self.json()
    }
}

/// Runs `vrx --json` with a profile of the demo (`142051-staff-tanaka`), and something on its standard input.
pub fn vrx(demo: &Demo, profile: &str, arguments: &[&str], input: &str) -> anyhow::Result<Ended> {
    let profile = demo.folder().join(format!("profiles/{profile}.toml"));
    let mut child = Command::new(program("vrx")?)
        .args(["--json", "--profile"])
        .arg(profile)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(mut stdin) = child.stdin.take() else {
        bail!("no standard input");
    };
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    Ok(Ended {
        code: output.status.code().context("ended by a signal")?,
        output: String::from_utf8(output.stdout)?,
        errors: String::from_utf8(output.stderr)?,
    })
}

/// Indexes of the control entries with an action, as an officer lists them.
pub fn control_entries(demo: &Demo, officer: &str, action: &str) -> anyhow::Result<Vec<u64>> {
    let listed = vrx(demo, officer, &["log", "list", "--kind", "control"], "")?.done()?;
    let entries = listed
        .get("entries")
        .and_then(Value::as_array)
        .context("no entries")?;
    Ok(entries
        .iter()
        .filter(|entry| entry.get("action").is_some_and(|own| own == action))
        .filter_map(|entry| entry.get("log_index")?.as_u64())
        .collect())
}

/// Names and values of an entry's content, as an officer is shown them.
pub fn content(demo: &Demo, officer: &str, index: u64) -> anyhow::Result<Vec<(String, String)>> {
    let shown = vrx(demo, officer, &["log", "show", &index.to_string()], "")?.done()?;
    let fields = shown.pointer("/entry/fields").and_then(Value::as_array);
    let fields = fields.context("no fields")?;
    let is = |value: &Value, name: &str, text: &str| value.get(name).is_some_and(|own| own == text);
    let text = |field: &Value, name: &str| {
        let text = field.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    Ok(fields
        .iter()
        .filter(|field| is(field, "commitment", "content"))
        .map(|field| (text(field, "name"), text(field, "value")))
        .collect())
}
