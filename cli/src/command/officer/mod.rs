//! `vrx officer`: what a privacy officer (個人情報保護担当) does: answers requests for disclosure, looks at each day, signs it off.
//! Each of these reads is itself an entry of the provision log.

mod day;
mod entry;
mod events;
mod files;
mod history;
mod mark;
mod report;
mod summary;

pub(crate) use history::disclose;
use jiff::civil::Date;

use crate::{
    arguments, clock,
    failure::Failure,
    output::Output,
    profile::{ConnectionArgs, Profile},
};

/// 個人情報保護担当の仕事 / a privacy officer's work.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    History(history::Args),
    Mark(mark::Args),
    /// 一日の提供・照会・注意事項を一覧する / a day at a glance, with alerts
    Day {
        /// 日 (省略時は今日) / the day, today when left out
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
        date: Option<Date>,
    },
    /// 一日分の記録を確認したことを記録する / sign a day off as reviewed
    Review {
        /// 確認した日 / the day
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
        date: Date,
    },
    Report(report::Args),
    /// 1件の経緯を、関連する記録とともに表示する / one entry's whole story
    Entry {
        /// 提供記録の番号 / the entry's index
        #[arg(value_name = "INDEX", value_parser = arguments::index)]
        index: u64,
    },
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    connection: &ConnectionArgs,
    output: &Output,
) -> Result<(), Failure> {
    let profile = Profile::resolve(connection)?;
    match command {
        Command::History(args) => history::run(&args, &profile, output).await,
        Command::Mark(args) => mark::run(&args, &profile, output).await,
        Command::Day { date } => day::day(date, &profile, output).await,
        Command::Review { date } => day::review(date, &profile, output).await,
        Command::Report(args) => report::run(&args, &profile, output).await,
        Command::Entry { index } => entry::run(index, &profile, output).await,
    }
}
