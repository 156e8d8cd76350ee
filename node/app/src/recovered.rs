//! How far the recovery after a lost disk is: who has answered for its receipts, what was entered again, what is still missing.
//! Nothing is changed, and a node that serves meanwhile isn't disturbed.

use std::fmt;

use vrx_domain::{Member, Members, MunicipalityCode};
use vrx_storage::{LostLog, RecoveryAnswer, TenantStore};

use crate::compose::{World, open_keys};
use crate::config::{Config, TenantConfig, read_members};
use crate::failure::Failure;
use crate::stores::{Access, Clusters, storage_failure};

/// Entries read at once.
const AT_ONCE: u32 = 500;
/// Gaps that are shown; the others are counted.
const SHOWN: usize = 20;

/// What there is to tell of each log that lost its end.
pub struct Recovered(Vec<Report>);

struct Report {
    lost: LostLog,
    /// Each member with its answer, if it gave one.
    members: Vec<(Member, Option<RecoveryAnswer>)>,
    /// Members that answered and stand in the members file no more.
    former: Vec<RecoveryAnswer>,
    entries: u64,
    gaps: Gaps,
}

/// Looks at a tenant's rows.
pub async fn recovered(config: &Config, tenant: &TenantConfig) -> Result<Recovered, Failure> {
    let members = read_members(&config.members_file)?;
    let (id, keyring) = open_keys(config, tenant.code)?;
    let clusters = Clusters::connect(config, [tenant]).await?;
    let store = clusters
        .open(config, id, &keyring, &World::real(), Access::Look)
        .await?;
    let reports = reports(&*store, &members, tenant.code).await;
    store.close().await.map_err(storage_failure)?;
    clusters.close().await;
    reports.map(Recovered)
}

async fn reports(
    store: &dyn TenantStore,
    members: &Members,
    own: MunicipalityCode,
) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    for lost in store.lost_logs().await.map_err(storage_failure)? {
        let answers = store.recovery_answers(&lost.origin).await;
        let mut answers = answers.map_err(storage_failure)?;
        let mut answer_of = |code| {
            let at = answers.iter().position(|answer| answer.member == code);
            at.map(|at| answers.swap_remove(at))
        };
        let members = members
            .iter()
            .filter(|member| member.code != own)
            .map(|member| (member.clone(), answer_of(member.code)))
            .collect();
        let (entries, gaps) = entries(store, &lost).await?;
        reports.push(Report {
            lost,
            members,
            former: answers,
            entries,
            gaps,
        });
    }
    Ok(reports)
}

/// How many entries were entered again, and which are missing.
async fn entries(store: &dyn TenantStore, lost: &LostLog) -> Result<(u64, Gaps), Failure> {
    let signed = lost.signed.map_or(0, |(size, _)| size);
    let (mut gaps, mut entries, mut from) = (Gaps::new(lost.from_index), 0, 0);
    let mut size = signed;
    loop {
        let rows = store.recovered(&lost.origin, from, AT_ONCE).await;
        let rows = rows.map_err(storage_failure)?;
        let Some(last) = rows.last() else { break };
        from = last.log_index.saturating_add(1);
        entries += rows.len() as u64;
        for row in &rows {
            size = size.max(row.tree.0);
            gaps.seen(row.log_index);
        }
    }
    gaps.end(size);
    Ok((entries, gaps))
}

/// Places of a log between those that were seen.
struct Gaps {
    next: u64,
    /// The first and the last place of each that is shown.
    shown: Vec<(u64, u64)>,
    /// Gaps in all.
    count: u64,
    /// Places in them.
    places: u64,
}

impl Gaps {
    fn new(from: u64) -> Self {
        Self {
            next: from,
            shown: Vec::new(),
            count: 0,
            places: 0,
        }
    }

    /// An entry that is there; they come in their order.
    fn seen(&mut self, index: u64) {
        self.end(index);
        self.next = self.next.max(index.saturating_add(1));
    }

    /// Everything before this place that wasn't seen is missing.
    fn end(&mut self, size: u64) {
        if size <= self.next {
            return;
        }
        self.count += 1;
        self.places += size - self.next;
        if self.shown.len() < SHOWN {
            self.shown.push((self.next, size - 1));
        }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(
                f,
                "Nothing to recover: no restore has opened a new epoch of this log."
            );
        }
        self.0.iter().try_for_each(|report| write!(f, "{report}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            members,
            former,
            entries,
            gaps,
        } = self;
        writeln!(
            f,
            "Log {}, lost from index {} on:",
            lost.origin, lost.from_index
        )?;
        for (member, answer) in members {
            write!(f, "  {} {}: ", member.code, member.name)?;
            match answer {
                None => writeln!(f, "not answered yet")?,
                Some(answer) => said(f, answer)?,
            }
        }
        for answer in former {
            write!(f, "  {} (no member now): ", answer.member)?;
            said(f, answer)?;
        }
        let answered = members
            .iter()
            .filter(|(_, answer)| answer.is_some())
            .count();
        writeln!(
            f,
            "  {answered} of {} members answered; entered again: {entries}.",
            members.len()
        )?;
        if gaps.count > 0 {
            let shown: Vec<String> = gaps.shown.iter().map(place).collect();
            let more = gaps.count - shown.len() as u64;
            write!(
                f,
                "  Entries without a receipt: {}, at {}",
                gaps.places,
                shown.join(", ")
            )?;
            match more {
                0 => writeln!(f, ".")?,
                more => writeln!(f, ", and {more} more ranges.")?,
            }
            writeln!(
                f,
                "  What this node entered for itself (desk, control, its own inquiries) has no receipt elsewhere and doesn't come back."
            )?;
        }
        Ok(())
    }
}

fn said(f: &mut fmt::Formatter<'_>, answer: &RecoveryAnswer) -> fmt::Result {
    writeln!(
        f,
        "answered {}, {} receipts, {} of them refused",
        answer.answered_at.to_rfc3339_jst(),
        answer.receipts,
        answer.refused
    )
}

fn place((first, last): &(u64, u64)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

#[cfg(test)]
mod tests {
    use vrx_domain::UnixMillis;

    use super::*;

    fn gaps(from: u64, seen: &[u64], size: u64) -> (u64, Vec<String>) {
        let mut gaps = Gaps::new(from);
        for index in seen {
            gaps.seen(*index);
        }
        gaps.end(size);
        (gaps.places, gaps.shown.iter().map(place).collect())
    }

    #[test]
    fn what_no_receipt_came_for_is_named_by_its_places() {
        let none: Vec<String> = Vec::new();
        assert_eq!(gaps(10, &[10, 11, 12], 13), (0, none.clone()));
        assert_eq!(gaps(10, &[], 10), (0, none.clone()));
        assert_eq!(gaps(10, &[], 9), (0, none));
        assert_eq!(gaps(10, &[], 12), (2, vec!["10-11".to_owned()]));
        let between = ["10", "12-13", "16"].map(str::to_owned).to_vec();
        assert_eq!(gaps(10, &[11, 14, 15], 17), (4, between));
    }

    #[test]
    fn the_report_says_who_is_missing_and_what_cant_come_back() {
        let member = |code: &str| Member {
            code: code.parse().unwrap(),
            name: "神奈川県横浜市".to_owned(),
            address: "localhost:1".to_owned(),
            server_name: "localhost".to_owned(),
            pins: vec![[1; 32]],
            log_vkey: String::new(),
            witnesses: vrx_domain::MemberWitnesses::default(),
            legal_bases: Vec::new(),
            allow_hard_to_obtain: false,
        };
        let answer = RecoveryAnswer {
            origin: "a log".to_owned(),
            member: "141003".parse().unwrap(),
            answered_at: UnixMillis(1_700_000_000_000),
            receipts: 3,
            refused: 1,
        };
        let mut gaps = Gaps::new(10);
        gaps.seen(12);
        let report = Report {
            lost: LostLog {
                origin: "a log".to_owned(),
                from_index: 10,
                signed: None,
            },
            members: vec![(member("141003"), Some(answer)), (member("131041"), None)],
            former: Vec::new(),
            entries: 1,
            gaps,
        };
        let text = Recovered(vec![report]).to_string();
        for part in [
            "Log a log, lost from index 10 on:",
            "141003 神奈川県横浜市: answered 2023-11-15T07:13:20.000+09:00, 3 receipts, 1 of them refused",
            "131041 神奈川県横浜市: not answered yet",
            "1 of 2 members answered; entered again: 1.",
            "Entries without a receipt: 2, at 10-11.",
            "doesn't come back",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let nothing = Recovered(Vec::new()).to_string();
        assert!(nothing.starts_with("Nothing to recover"), "{nothing}");
    }
}
