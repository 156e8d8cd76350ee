//! One `vrx-node` with two municipalities in one PostgreSQL database: no call leads from one to the other, and what belongs to
//! the other is answered as what was never there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod alike;
mod calls;
mod house;

use vrx_tests::demo::{FUJISAWA, YOKOHAMA};
use vrx_tests::desk::INQUIRE;
use vrx_tests::exchange::{Told, check_receipt, individual_number, query, request, told};

use house::{House, KAMAKURA};

/// An id that nobody has.
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_from_one_tenant_of_a_node_to_the_other() {
    let house = House::build().await;
    alike::residents_of_the_other_are_unknown(&house).await;
    what_fujisawa_provides_kamakura_has_never_heard_of(&house).await;
    an_import_of_the_other_is_no_import(&house);
    an_inquiry_of_the_other_is_no_inquiry(&house);
    each_officer_reads_the_own_log(&house);
    each_officer_reads_the_own_part_of_a_movers_history(&house);
    alike::nobody_acts_for_the_other(&house).await;
    alike::what_the_other_has_is_nobodys(&house).await;
    alike::five_milliseconds_more_are_seen(&house).await;
}

/// Told with a receipt of Kamakura's own log. Fujisawa still provides, to either caller.
async fn what_fujisawa_provides_kamakura_has_never_heard_of(house: &House) {
    let number = &house.demo.numbers("provided")[0];
    let mut asked = request(number);
    asked.municipality_code = KAMAKURA.into();
    let answer = query(&house.channel(KAMAKURA, YOKOHAMA), asked).await;
    let nothing = told(answer.unwrap()).unwrap();
    assert!(matches!(nothing, Told::Nothing(_)));
    let receipt = nothing.receipt().unwrap();
    check_receipt(&receipt, &house.log_vkey).unwrap();
    let foreign = &house.demo.node(FUJISAWA).unwrap().log_vkey;
    assert!(check_receipt(&receipt, foreign).is_err(), "the other's log");
    for caller in [YOKOHAMA, KAMAKURA] {
        let channel = house.channel(FUJISAWA, caller);
        let found = told(query(&channel, request(number)).await.unwrap()).unwrap();
        assert!(matches!(found, Told::Found(_)));
    }
}

fn an_import_of_the_other_is_no_import(house: &House) {
    let number = individual_number(27_182_818_284);
    let fujisawas = house.enter("142051-staff-tanaka", &number, "T-1");
    let kamakuras = house.enter("142042-staff-a", &number, "T-1");
    for (stranger, own, import) in [
        ("142042-staff-b", "142051-staff-suzuki", &fujisawas),
        ("142051-staff-suzuki", "142042-staff-b", &kamakuras),
    ] {
        let refused = house.vrx(stranger, &["import", "approve", import], "");
        let nobodys = house.vrx(stranger, &["import", "approve", NOBODYS], "");
        assert_ne!(refused.code, 0);
        assert_eq!(refused, nobodys);
        let listed = house.json(stranger, &["import", "list"], "").to_string();
        assert!(!listed.contains(import.as_str()), "{listed}");
        let approved = house.json(own, &["import", "approve", import], "");
        assert_eq!(approved["rows_approved"], 1);
    }
}

fn an_inquiry_of_the_other_is_no_inquiry(house: &House) {
    // From one tenant of the node to the other, over the network like to any.
    let mover = &house.demo.numbers("provided")[5];
    let answer = house.json("142042-staff-a", &INQUIRE, mover);
    assert_eq!(answer["outcome"], "found", "{answer}");
    let id = answer["inquiry_id"].as_str().unwrap();
    let refused = house.vrx("142051-staff-tanaka", &["adopt", id], "");
    let nobodys = house.vrx("142051-staff-tanaka", &["adopt", NOBODYS], "");
    assert_ne!(refused.code, 0);
    assert_eq!(refused, nobodys);
}

fn each_officer_reads_the_own_log(house: &House) {
    let (fujisawas, kamakuras) = ("142051-officer-mori", "142042-officer-c");
    let entries = |officer| {
        let listed = house.json(officer, &["log", "list"], "");
        listed["entries"].as_array().unwrap().clone()
    };
    let (of_fujisawa, of_kamakura) = (entries(fujisawas), entries(kamakuras));
    assert!(!of_fujisawa.is_empty() && !of_kamakura.is_empty());
    for entry in &of_kamakura {
        assert!(!of_fujisawa.contains(entry), "{entry}");
    }
    let (ours, theirs) = (
        house.json(fujisawas, &["log", "show", "0"], ""),
        house.json(kamakuras, &["log", "show", "0"], ""),
    );
    assert_ne!(ours, theirs);
    for officer in [fujisawas, kamakuras] {
        let verified = house.json(officer, &["log", "verify"], "");
        assert_eq!(verified["signature_checked"], true);
    }
    let foreign = house.demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let ended = house.vrx(kamakuras, &["--log-vkey", &foreign, "log", "verify"], "");
    assert_ne!(ended.code, 0, "Kamakura's log under Fujisawa's key");
}

fn each_officer_reads_the_own_part_of_a_movers_history(house: &House) {
    let mover = &house.demo.numbers("provided")[6];
    let answer = house.json("142042-staff-a", &INQUIRE, mover);
    assert_eq!(answer["outcome"], "found", "{answer}");
    for (officer, other, actions) in [
        ("142051-officer-mori", KAMAKURA, &["query-records"][..]),
        ("142042-officer-c", FUJISAWA, &["inquire", "inquire"]),
    ] {
        let history = house.json(officer, &["officer", "history", "--internal"], mover);
        // The provider's imports brought the person's rows; they are about many.
        let entries = history["entries"].as_array().unwrap().iter();
        let entries: Vec<_> = entries
            .filter(|entry| entry["subject_seq"].is_u64())
            .collect();
        let (own, read) = entries.split_at(actions.len());
        let done: Vec<_> = own.iter().map(|entry| entry["action"].as_str()).collect();
        let expected: Vec<_> = actions.iter().map(|action| Some(*action)).collect();
        assert_eq!(done, expected, "{officer}");
        assert!(own.iter().all(|entry| entry["counterparty"] == other));
        assert_eq!((read.len(), &read[0]["action"]), (1, &"history".into()));
    }
}
