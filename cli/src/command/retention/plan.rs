//! `vrx retention plan` and `propose`: what is due, by class.

use serde_json::{Value, json};
use tonic::Streaming;
use vrx_proto::v1::{self, erasure_event::Event, retention_service_client::RetentionServiceClient};

use crate::{clock, connect::connect, failure::Failure, output::Output, profile::Profile};

/// A survey of a large town takes minutes.
const PATIENCE: std::time::Duration = std::time::Duration::from_hours(1);

/// Counts, and changes nothing.
pub(super) async fn plan(profile: &Profile, output: &Output) -> Result<(), Failure> {
    let mut request = tonic::Request::new(v1::PlanErasureRequest {
        municipality_code: profile.municipality.to_string(),
    });
    request.set_timeout(PATIENCE);
    let mut client = RetentionServiceClient::new(connect(profile).await?);
    let events = client.plan_erasure(request).await?.into_inner();
    let plan = last(events, output).await?;
    if output.json(|| plan_json(&plan))? {
        return Ok(());
    }
    show(&plan, output)?;
    let counts = plan.counts.unwrap_or_default();
    if counts.persons == 0 && counts.openings == 0 {
        return output.hint("消去の対象はありません / nothing is due");
    }
    output.hint("次に: 提案する → vrx retention propose / propose it next")
}

/// Counts, and proposes it.
pub(super) async fn propose(
    profile: &Profile,
    replace: bool,
    output: &Output,
) -> Result<(), Failure> {
    let mut request = tonic::Request::new(v1::ProposeErasureRequest {
        municipality_code: profile.municipality.to_string(),
        replace,
    });
    request.set_timeout(PATIENCE);
    let mut client = RetentionServiceClient::new(connect(profile).await?);
    let events = client.propose_erasure(request).await?.into_inner();
    let plan = last(events, output).await.map_err(explained)?;
    if output.json(|| plan_json(&plan))? {
        return Ok(());
    }
    show(&plan, output)?;
    output.line(&format!("消去番号 {}", plan.erasure_id))?;
    output.hint(&format!(
        "次に: 別の個人情報保護担当が承認すると消去が始まります → vrx retention approve {} --irrevocably / another officer approves next",
        plan.erasure_id
    ))
}

/// What to do about a proposal that waits.
fn explained(failure: Failure) -> Failure {
    match failure {
        Failure::NotDone(text) if text.contains("another proposal waits") => Failure::NotDone(
            "承認待ちの提案があります。vrx retention list で確かめて承認するか、--replace を付けて置き換えてください / another \
             proposal waits for approval: approve it, or give --replace"
                .to_owned(),
        ),
        other => other,
    }
}

/// Follows a survey to its end.
async fn last(
    mut events: Streaming<v1::ErasureEvent>,
    output: &Output,
) -> Result<v1::ErasurePlan, Failure> {
    let bar = output.progress(0, "確認中 {bar:40} {pos}/{len} 人 残り {eta}");
    let mut plan = None;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Progress(progress)) => {
                bar.set_length(progress.total);
                bar.set_position(progress.looked_at);
            }
            Some(Event::Plan(end)) => plan = Some(end),
            None => {}
        }
    }
    bar.finish_and_clear();
    plan.ok_or_else(|| {
        Failure::Unavailable(
            "結果が届きませんでした。もう一度実行してください / no result arrived".to_owned(),
        )
    })
}

fn show(plan: &v1::ErasurePlan, output: &Output) -> Result<(), Failure> {
    let counts = plan.counts.unwrap_or_default();
    output.table(
        &[
            "区分",
            "消去する件数",
            "保留",
            "承認待ちの変更あり",
            "次回に回す",
            "保管期間",
        ],
        [
            vec![
                "住民 persons".to_owned(),
                counts.persons.to_string(),
                plan.on_hold.to_string(),
                plan.waiting.to_string(),
                plan.left_for_next.to_string(),
                format!("転出・死亡から{}年", plan.years_after_ceasing),
            ],
            vec![
                "接種記録 doses".to_owned(),
                counts.doses.to_string(),
                String::new(),
                String::new(),
                String::new(),
                format!("最後の接種から{}年", plan.years_after_last_dose),
            ],
            vec![
                "提供記録の内容 openings".to_owned(),
                counts.openings.to_string(),
                String::new(),
                String::new(),
                String::new(),
                format!("記録から{}年", plan.years_of_openings),
            ],
        ],
    )
}

fn plan_json(plan: &v1::ErasurePlan) -> Value {
    json!({
        "erasure_id": plan.erasure_id,
        "today": clock::show_date(plan.today.as_ref()),
        "counts": counts_json(&plan.counts.unwrap_or_default()),
        "on_hold": plan.on_hold,
        "waiting": plan.waiting,
        "left_for_next": plan.left_for_next,
        "years_after_last_dose": plan.years_after_last_dose,
        "years_after_ceasing": plan.years_after_ceasing,
        "years_of_openings": plan.years_of_openings,
        "log_index": plan.log_index,
    })
}

pub(super) fn counts_json(counts: &v1::ErasureCounts) -> Value {
    json!({
        "persons": counts.persons,
        "doses": counts.doses,
        "openings": counts.openings,
    })
}
