//! `vrx sample`: CSV files of invented residents and their doses.

use std::path::PathBuf;

use jiff::civil::Date;
use vrx_domain::MunicipalityCode;

use crate::{
    clock,
    encoding::Encoding,
    failure::Failure,
    output::Output,
    sample::{Kind, Plan, Sample, files},
};

/// 架空の住民と接種記録の CSV を作る / make CSV files of invented residents
///
/// 同じ種と基準日からは、いつも同じファイルができます。宛名番号は種によらず --first-addressee から順に付きます。すでに取り込んだ見本に別の種の見本を
/// 足すときは、前の見本と重ならない番号を指定してください（同じ宛名番号は同じ人とみなされます）。
/// Addressee numbers count up from --first-addressee whatever the seed: give a second sample of a town numbers that the first doesn't have.
/// persons.csv (register), doses.csv (official ledger layout), entered-persons.csv and entered-doses.csv (a later file, for persons who are
/// never approved) and persons.json (number, kind and doses of each, for programs). Everybody in them is invented.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 書き出すフォルダー / folder to write to
    #[arg(long, value_name = "DIR", default_value = "sample")]
    pub(crate) dir: PathBuf,
    /// 住民の人数 (40 以上) / residents, at least 40
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) residents: usize,
    /// 承認されない「登録のみ」の人数 / persons of the later file
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) entered: usize,
    /// 最初の宛名番号 (10 桁まで) / the first addressee number
    #[arg(long, value_name = "N", default_value_t = 1_000_001, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) first_addressee: u64,
    /// 乱数の種 / seed
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// 文字コード / encoding
    #[arg(long, value_enum, default_value = "cp932")]
    pub(crate) encoding: Encoding,
    /// 住民がいる自治体のコード / whose residents
    #[arg(long, value_name = "CODE", default_value = "142051")]
    pub(crate) of: String,
    /// 基準日 (省略時は今日)。これより後の日付は作らない / reference day, default today
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = clock::parse_date)]
    pub(crate) today: Option<Date>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let municipality: MunicipalityCode = args.of.parse().map_err(|_| {
        Failure::Usage(format!(
            "--of {} は市区町村のコードではありません / not a municipality code",
            args.of
        ))
    })?;
    let plan = Plan {
        seed: args.seed,
        residents: args.residents,
        entered: args.entered,
        first_addressee: args.first_addressee,
        municipality,
        today: args.today.unwrap_or_else(clock::today),
    };
    let mut counts = std::collections::BTreeMap::<&str, (usize, usize)>::new();
    let files = files::write(Sample::new(plan)?, &args.dir, args.encoding, |person| {
        let count = counts.entry(label(person.kind)).or_default();
        count.0 += 1;
        count.1 += person.doses.len();
    })?;
    let printed = output.json(|| {
        let counts: serde_json::Map<_, _> = counts
            .iter()
            .map(|(kind, (persons, doses))| {
                (
                    (*kind).to_owned(),
                    serde_json::json!({ "persons": persons, "doses": doses }),
                )
            })
            .collect();
        serde_json::json!({ "files": files, "encoding": args.encoding.label(), "counts": counts })
    })?;
    if printed {
        return Ok(());
    }
    output.table(
        &["種別 kind", "人数 persons", "接種記録 doses"],
        counts.iter().map(|(kind, (persons, doses))| {
            vec![(*kind).to_owned(), persons.to_string(), doses.to_string()]
        }),
    )?;
    output.line(&format!(
        "{} に作成しました（{}）",
        args.dir.display(),
        args.encoding.label()
    ))
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Provided => "provided",
        Kind::Doseless => "doseless",
        Kind::Protected => "protected",
        Kind::Resident => "resident",
        Kind::Entered => "entered",
    }
}
