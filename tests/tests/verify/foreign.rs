//! The log of a real node, and receipts that left it, under the eyes of other people's code and of `vrx verify`.

use serde_json::json;
use vrx_proto::v1::Answer;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::desk::{self, INQUIRE};
use vrx_tests::exchange::{Told, query, request, tlog_receipt, told, unknown_numbers};
use vrx_tests::foreign::{self, Export};
use vrx_tests::on_both_databases;

use crate::made::{b64, vrx};

on_both_databases! {
    a_node_s_log_holds_for_code_that_is_not_ours,
    receipts_saved_at_the_desks_hold_for_code_that_is_not_ours,
    what_an_answer_committed_to_is_shown_with_its_keys,
}

/// Exports Fujisawa's log with its entries.
fn export(demo: &Demo, name: &str) -> std::path::PathBuf {
    let folder = demo.folder().join(name);
    let arguments = [
        "log",
        "export",
        "--entries",
        "--dir",
        folder.to_str().unwrap(),
    ];
    let (exit, said, errors) = demo.vrx_node(FUJISAWA, &arguments).unwrap();
    assert_eq!(exit, 0, "{said} {errors}");
    folder
}

async fn a_node_s_log_holds_for_code_that_is_not_ours(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let vkey = &demo.node(FUJISAWA).unwrap().log_vkey;
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let first = Export::open(&export(&demo, "first"), vkey).unwrap();
    first.check_all().unwrap();
    let (old, old_root) = (first.checkpoint.size(), first.checkpoint.hash().0);
    // Past the edge of a tile, whatever stood there before.
    for number in unknown_numbers(300, &[]) {
        told(query(&channel, request(&number)).await.unwrap()).unwrap();
    }
    // The proofs that the node makes.
    let mut asked = request(&demo.numbers("provided")[0]);
    asked.known_log_size = old;
    let answer = told(query(&channel, asked).await.unwrap()).unwrap();
    let receipt = tlog_receipt(&answer.receipt().unwrap()).unwrap();
    let signed = foreign::checkpoint(&receipt.checkpoint, vkey).unwrap();
    foreign::included(
        &signed,
        receipt.log_index,
        &receipt.leaf,
        receipt.inclusion_proof,
    )
    .unwrap();
    foreign::continues(&signed, old, old_root, receipt.consistency_proof).unwrap();
    // The tiles that it writes.
    let folder = export(&demo, "second");
    let second = Export::open(&folder, vkey).unwrap();
    assert!(second.checkpoint.size() > old + 300);
    second.check_all().unwrap();
    // A proof that other people's code makes of them, checked by ours.
    let proof = second.prove_consistency(old).unwrap();
    let (new, new_root) = (second.checkpoint.size(), second.checkpoint.hash().0);
    vrx_tlog::verify_consistency(old, new, &old_root, &new_root, &proof).unwrap();
    let (old, new) = (old.to_string(), new.to_string());
    let (old_root, new_root) = (b64(&old_root), b64(&new_root));
    let mut arguments = vec![
        "verify",
        "consistency",
        "--old-size",
        &old,
        "--new-size",
        &new,
    ];
    arguments.extend(["--old-root", &old_root, "--new-root", &new_root]);
    let proof: Vec<String> = proof.iter().map(b64).collect();
    arguments.extend(proof.iter().flat_map(|hash| ["--proof", hash.as_str()]));
    let ended = vrx(&arguments, demo.folder().as_path(), "");
    assert_eq!(ended.code, 0, "{ended:?}");
    // And the whole folder by vrx verify.
    let whole = [
        "--json",
        "verify",
        "log",
        "--vkey",
        vkey,
        folder.to_str().unwrap(),
    ];
    let ended = vrx(&whole, demo.folder().as_path(), "");
    let found = ended.done().unwrap();
    assert_eq!(found["size"].to_string(), new);
    assert_eq!(found["entries_checked"], found["size"]);
    // One bit, and neither has it.
    let tile = folder.join("tile/0/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[4_000] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    assert!(second.check_all().is_err());
    assert_eq!(vrx(&whole, demo.folder().as_path(), "").code, 1);
}

async fn receipts_saved_at_the_desks_hold_for_code_that_is_not_ours(on: On) {
    let demo = Demo::shared_on(on).unwrap();
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Fujisawa's officer: the key, the newest checkpoint, an entry's receipt.
    let officer = |arguments: &[&str]| {
        let ended = desk::vrx(&demo, "142051-officer-mori", arguments, "").unwrap();
        ended.done().unwrap()
    };
    let key = officer(&["log", "key"]);
    assert_eq!(key["log_vkey"], vkey.as_str());
    let newest = officer(&["log", "checkpoint"]);
    assert_eq!(newest["signature_checked"], true);
    let size = foreign::checkpoint(newest["checkpoint"].as_str().unwrap(), &vkey).unwrap();
    assert!(size.size() >= key["log_size"].as_u64().unwrap());
    let genesis = path("genesis.tlog-proof");
    officer(&["log", "show", "0", "--save", &genesis]);
    // Yokohama's staff: what they were told, found and nothing alike.
    let number = demo.numbers("provided")[1].clone();
    for (name, number) in [
        ("found", number),
        ("nothing", unknown_numbers(1, &[])[0].clone()),
    ] {
        let file = path(&format!("{name}.tlog-proof"));
        let mut arguments = INQUIRE.to_vec();
        arguments.extend(["--save-receipt", &file]);
        let ended = desk::vrx(&demo, "141003-staff-tanaka", &arguments, &number).unwrap();
        let answer = ended.done().unwrap();
        assert_eq!(answer["outcome"], name);
        let text = std::fs::read_to_string(&file).unwrap();
        let index = foreign::tlog_proof(&text, &vkey).unwrap();
        assert_eq!(answer["provider_log_index"], index);
        // The same name again: nothing is asked, and the receipt stays.
        let again = desk::vrx(&demo, "141003-staff-tanaka", &arguments, &number).unwrap();
        assert_eq!(again.code, 2, "{again:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        let verified = ["--json", "verify", "receipt", "--vkey", &vkey, &file];
        let verified = vrx(&verified, folder.path(), "").done().unwrap();
        assert_eq!(
            (&verified["log_index"], &verified["kind"]),
            (&index.into(), &json!("exchange"))
        );
        // What --json printed is a receipt too.
        let printed = path("printed.json");
        std::fs::write(&printed, &ended.output).unwrap();
        let verified = ["--json", "verify", "receipt", "--vkey", &vkey, &printed];
        assert_eq!(
            vrx(&verified, folder.path(), "").done().unwrap()["log_index"],
            index
        );
    }
    assert_eq!(
        foreign::tlog_proof(&std::fs::read_to_string(&genesis).unwrap(), &vkey).unwrap(),
        0
    );
    let verified = ["--json", "verify", "receipt", "--vkey", &vkey, &genesis];
    assert_eq!(
        vrx(&verified, folder.path(), "").done().unwrap()["kind"],
        "genesis"
    );
    // Under the other municipality's key none of it holds.
    let other = demo.node(YOKOHAMA).unwrap().log_vkey.clone();
    assert!(foreign::tlog_proof(&std::fs::read_to_string(&genesis).unwrap(), &other).is_err());
    let verified = ["--json", "verify", "receipt", "--vkey", &other, &genesis];
    assert_eq!(vrx(&verified, folder.path(), "").code, 1);
}

async fn what_an_answer_committed_to_is_shown_with_its_keys(on: On) {
    use prost::Message as _;
    use sha2::Digest as _;
    let demo = Demo::shared_on(on).unwrap();
    let vkey = demo.node(FUJISAWA).unwrap().log_vkey.clone();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    let number = demo.numbers("provided")[2].clone();
    let Told::Found(found) = told(query(&channel, request(&number)).await.unwrap()).unwrap() else {
        panic!("nothing for a person whose records must leave");
    };
    let receipt = tlog_receipt(found.receipt.as_ref().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("found.tlog-proof");
    std::fs::write(&file, vrx_tlog::TlogProof::from(&receipt).to_string()).unwrap();
    let answer = Answer::decode(found.answer.as_slice()).unwrap();
    let ids: Vec<u8> = answer
        .doses
        .iter()
        .flat_map(|dose| dose.dose_id.parse::<uuid::Uuid>().unwrap().into_bytes())
        .collect();
    let keys = found.openings.clone().unwrap();
    let shown = json!({
        "subject": { "key": hex::encode(&keys.k_subject), "values": [null, "provided"] },
        "content": { "key": hex::encode(&keys.k_content), "values": [
            "found",
            { "hex": hex::encode(sha2::Sha256::digest(&found.answer)) },
            answer.held_back.to_string(),
            { "hex": hex::encode(ids) },
        ] },
    });
    let openings = folder.path().join("openings.json");
    std::fs::write(&openings, shown.to_string()).unwrap();
    let arguments = [
        "--json",
        "verify",
        "receipt",
        "--vkey",
        &vkey,
        "--openings",
        openings.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let shown = vrx(&arguments, folder.path(), &format!("{number}\n"));
    let values = shown.done().unwrap();
    assert_eq!(values["openings"]["subject"]["individual_number"], true);
    assert_eq!(values["openings"]["content"]["outcome"], "found");
    assert!(!shown.output.contains(&number));
    let other = demo.numbers("provided")[3].clone();
    assert_eq!(
        vrx(&arguments, folder.path(), &format!("{other}\n")).code,
        1
    );
}
