//! What the demo does with its two nodes, in the order in which an office would.

use std::path::Path;

use jiff::Timestamp;
use tonic::transport::Channel;
use vrx_domain::IndividualNumber;
use vrx_proto::v1;
use vrx_tlog::{VerifierKey, WitnessKey};

use super::{people::Samples, town::Town};
use crate::{
    clock,
    command::{
        adopt,
        import::{self, FileArgs, FileKind, Prepared},
        inquire::{self, Consent, Document},
        log, officer, verify,
    },
    connect::connect,
    failure::Failure,
    output::Output,
    profile::Profile,
    sample::{Kind, SamplePerson, files::SampleFiles},
};

/// Movers that are asked about.
const INQUIRIES: usize = 3;
/// Entries of each log that are shown, at most.
const SHOWN: usize = 30;

/// The provider's residents and doses, approved; then the later file, which nobody approves.
pub(crate) async fn import_and_approve(
    town: &Town,
    files: &SampleFiles,
    output: &Output,
) -> Result<(), Failure> {
    let desk = Desk::open(town).await?;
    desk.import(
        FileKind::Persons,
        &files.persons,
        Approval::Approved,
        output,
    )
    .await?;
    desk.import(FileKind::Doses, &files.doses, Approval::Approved, output)
        .await?;
    if let Some(persons) = &files.entered_persons {
        desk.import(FileKind::Persons, persons, Approval::LeftOpen, output)
            .await?;
    }
    if let Some(doses) = &files.entered_doses {
        desk.import(FileKind::Doses, doses, Approval::LeftOpen, output)
            .await?;
    }
    Ok(())
}

/// The requester's new residents, approved.
pub(crate) async fn import_movers(
    town: &Town,
    persons: &Path,
    output: &Output,
) -> Result<(), Failure> {
    Desk::open(town)
        .await?
        .import(FileKind::Persons, persons, Approval::Approved, output)
        .await
}

/// Three movers, of whom one is adopted, and one of whom the provider knows nothing.
pub(crate) async fn exchange(
    provider: &Town,
    requester: &Town,
    samples: &Samples,
    output: &Output,
) -> Result<(), Failure> {
    output.say(&format!(
        "\n■ 3. {}が、転入した {INQUIRIES} 人の接種記録を{}に照会します / three inquiries",
        requester.name(),
        provider.name()
    ))?;
    let staff = requester.profile("staff")?;
    let channel = connect(&staff).await?;
    let mut first = None;
    let movers = samples
        .movers
        .iter()
        .filter(|person| person.kind == Kind::Provided)
        .take(INQUIRIES);
    for (serial, mover) in movers.enumerate() {
        let answer = ask(&channel, &staff, provider, mover, serial, output).await?;
        if answer.outcome() != v1::InquiryOutcome::Found || !answer.adoptable {
            return Err(unexpected(
                "提供されるはずの記録が返りませんでした / records were expected",
                &answer,
            ));
        }
        first.get_or_insert(answer.inquiry_id);
    }

    output.say("\n■ 4. 1人目の接種記録を、横浜市の台帳に取り込みます / adopt the first")?;
    let inquiry = first
        .as_deref()
        .and_then(|inquiry| inquiry.parse().ok())
        .ok_or_else(|| Failure::NotDone("照会番号がありません / no inquiry to adopt".to_owned()))?;
    let args = adopt::Args {
        inquiry,
        confirm_birth_date_difference: false,
    };
    let adopted = adopt::adopt(channel.clone(), &staff, &args).await?;
    output.say(&format!(
        "  {} 件を取り込みました（提供記録 {} 番）",
        adopted.doses_adopted, adopted.log_index
    ))?;
    if !adopted.import_id.is_empty() {
        let second = requester.profile("staff/suzuki")?;
        let approved =
            import::approve(connect(&second).await?, &second, &adopted.import_id).await?;
        output.say(&format!(
            "  別の職員が {} 件を承認しました",
            approved.rows_approved
        ))?;
    }

    output.say(&format!(
        "\n■ 5. {}にいない人を照会すると / nothing for one who isn't there",
        provider.name()
    ))?;
    let answer = ask(
        &channel,
        &staff,
        provider,
        &samples.stranger,
        INQUIRIES,
        output,
    )
    .await?;
    if answer.outcome() != v1::InquiryOutcome::Nothing {
        return Err(unexpected(
            "該当なしのはずでした / nothing was expected",
            &answer,
        ));
    }
    Ok(())
}

/// What the privacy officer of each municipality sees of what happened since `from`, and whether both logs hold.
pub(crate) async fn officers(
    towns: &[&Town],
    from: Timestamp,
    output: &Output,
) -> Result<(), Failure> {
    output.say("\n■ 6. 個人情報保護担当が見る提供記録 / what each privacy officer sees")?;
    for town in towns {
        let officer = town.profile("officer")?;
        let args = log::ListArgs {
            limit: SHOWN,
            from: Some(from),
            ..log::ListArgs::default()
        };
        let page = log::list(connect(&officer).await?, &officer, &args).await?;
        output.say(&format!(
            "  {}（全 {} 件のうち、照会以降）",
            town.name(),
            page.log_size
        ))?;
        if !output.is_json() {
            log::show_entries(&page.entries, output)?;
        }
    }
    output.say("\n■ 7. 両方の提供記録を検証します / verify both logs")?;
    for town in towns {
        let officer = town.profile("officer")?;
        let verified = log::verify(connect(&officer).await?, &officer, 8, output).await?;
        output.say(&format!("  {}: {} 件", town.name(), verified.size()))?;
        if !output.is_json() {
            verified.show(output)?;
        }
        verified.conclusion()?;
    }
    Ok(())
}

/// What a mover gets of the provider's log, and that somebody else stands for it: files, two public keys and no node.
pub(crate) async fn disclosure(
    town: &Town,
    witness: &Town,
    samples: &Samples,
    folder: &Path,
    output: &Output,
) -> Result<(), Failure> {
    output.say(&format!(
        "\n■ 8. 1人目に開示する記録を、証人の{}の連署とともに書き出し、検証します / a disclosure with its witness's cosignature",
        witness.name()
    ))?;
    let person = samples
        .movers
        .iter()
        .find(|person| person.kind == Kind::Provided)
        .ok_or_else(|| Failure::NotDone("見本に転入者がいません / no mover".to_owned()))?;
    let number = number(person)?;
    let officer = town.profile("officer")?;
    let proofs = officer::disclose(connect(&officer).await?, &officer, &number, folder).await?;
    let wrong = |error| Failure::NotDone(format!("鍵が正しくありません / a wrong key: {error}"));
    let log = VerifierKey::parse(&town.log_vkey).map_err(wrong)?;
    let key = WitnessKey::parse(&witness.witness_vkey).map_err(wrong)?;
    let mut said = None;
    for proof in &proofs {
        said = Some(verify::witnessed_proof(proof, &log, &key)?);
    }
    let (japanese, _) =
        said.ok_or_else(|| Failure::NotDone("記録がありません / no entry".to_owned()))?;
    output.say(&format!(
        "  vrx verify proof --vkey … --witness …: {} 件とも証明されました。最後の一件: {japanese}",
        proofs.len()
    ))
}

/// What becomes of an import.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Approval {
    Approved,
    LeftOpen,
}

/// Two staff of one municipality at their desk.
struct Desk<'a> {
    town: &'a Town,
    first: (Channel, Profile),
    second: (Channel, Profile),
}

impl<'a> Desk<'a> {
    async fn open(town: &'a Town) -> Result<Self, Failure> {
        let first = town.profile("staff/tanaka")?;
        let second = town.profile("staff/suzuki")?;
        Ok(Self {
            town,
            first: (connect(&first).await?, first),
            second: (connect(&second).await?, second),
        })
    }

    async fn import(
        &self,
        kind: FileKind,
        file: &Path,
        approval: Approval,
        output: &Output,
    ) -> Result<(), Failure> {
        let (channel, profile) = &self.first;
        let args = FileArgs {
            file: file.to_owned(),
            check: false,
            encoding: None,
            refused: None,
        };
        let prepared = Prepared::scan(file, None)?;
        let summary =
            import::import(channel.clone(), kind, &args, &prepared, profile, output).await?;
        let what = match kind {
            FileKind::Persons => "住民",
            FileKind::Doses => "接種記録",
        };
        if summary.rows_refused > 0 {
            return Err(Failure::NotDone(format!(
                "見本の{what} {} 行が拒否されました: {} / sample rows were refused",
                summary.rows_refused,
                file.display()
            )));
        }
        let done = match approval {
            Approval::LeftOpen => "承認せずに残します（照会されても提供されません）".to_owned(),
            Approval::Approved => {
                let (channel, profile) = &self.second;
                let approved =
                    import::approve(channel.clone(), profile, &summary.import_id).await?;
                format!("別の職員が {} 件を承認しました", approved.rows_approved)
            }
        };
        output.say(&format!(
            "  {} {what} {} 行（{}、拒否 {}）→ {done}",
            self.town.name(),
            summary.rows_read,
            prepared.encoding.label(),
            summary.rows_refused
        ))
    }
}

async fn ask(
    channel: &Channel,
    staff: &Profile,
    provider: &Town,
    mover: &SamplePerson,
    serial: usize,
    output: &Output,
) -> Result<v1::InquireMunicipalityResponse, Failure> {
    let moved_in = mover.became_resident.unwrap_or_else(clock::today);
    let args = inquire::Args {
        from: provider.code().to_owned(),
        number_file: None,
        consent_reference: format!("consent-{:04}", serial + 1),
        consent_date: moved_in,
        consent_method: Consent::Written,
        register_checked_at: clock::now(),
        document: Document::NumberCard,
        document_checked_at: clock::now(),
        event_reference: format!("tennyu-{:04}", serial + 1),
        event_date: moved_in,
        legal_basis: "NBA-19-16".to_owned(),
        conceal_requester: false,
        save_receipt: None,
    };
    let number = number(mover)?;
    let request = inquire::request(&args, provider.municipality, &number, staff);
    let answer = inquire::inquire(channel.clone(), staff, request).await?;
    output.say(&format!("● {}さん（架空）", mover.name_kanji))?;
    if !output.is_json() {
        inquire::show(&answer, provider.municipality, output)?;
    }
    Ok(answer)
}

fn number(person: &SamplePerson) -> Result<IndividualNumber, Failure> {
    IndividualNumber::parse(&person.individual_number).map_err(|_| {
        Failure::NotDone("見本の個人番号が正しくありません / wrong sample number".to_owned())
    })
}

fn unexpected(what: &str, answer: &v1::InquireMunicipalityResponse) -> Failure {
    Failure::NotDone(format!(
        "{what}: {} {}",
        inquire::outcome_label(answer.outcome()).1,
        answer.reason
    ))
}
