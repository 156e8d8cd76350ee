//! Where results go: standard output, as tables for people or JSON for programs. Progress and hints go to standard error.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// Prints the results of one command.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// For programs when `json`, for people otherwise.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` for programs; the caller prints for people when this says that it didn't.
    pub(crate) fn json(&self, value: impl FnOnce() -> serde_json::Value) -> Result<bool, Failure> {
        if self.json {
            self.line(&format!("{:#}", value()))?;
        }
        Ok(self.json)
    }

    /// Whether a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line on standard output that only people get.
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(text) }
    }

    /// A line on standard output.
    #[expect(clippy::unused_self, reason = "whoever prints holds an Output")]
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        writeln!(std::io::stdout().lock(), "{text}").map_err(|error| Failure::output(&error))
    }

    /// A table on standard output.
    pub(crate) fn table(
        &self,
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(), Failure> {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(header.iter().copied());
        table.add_rows(rows);
        self.line(&table.to_string())
    }

    /// A sentence on standard error: what to do next. Programs don't get it.
    pub(crate) fn hint(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        writeln!(std::io::stderr().lock(), "{text}").map_err(|error| Failure::output(&error))
    }

    /// A progress bar on standard error, `total` long; invisible unless a person looks at a terminal.
    pub(crate) fn progress(&self, total: u64, template: &str) -> ProgressBar {
        let visible = !self.json && std::io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}
