//! `vrx verify` on files alone.

use sha2::{Digest as _, Sha256};
use vrx_tests::desk::Ended;
use vrx_tlog::{Hash, NoTiles, TlogProof};

use crate::made::{Made, NUMBER, b64, openings, vrx, witness};

#[track_caller]
fn proved(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, 0, "{} {}", ended.output, ended.errors);
    let json = ended.json().unwrap();
    assert_eq!(json["proved"], true, "{json}");
    for key in ["statement", "not_proved"] {
        assert!(!json[key].as_str().unwrap().is_empty(), "{json}");
    }
    json
}

#[track_caller]
fn not_proved(ended: &Ended) {
    assert_eq!(ended.code, 1, "{} {}", ended.output, ended.errors);
    let json = ended.json().unwrap();
    assert_eq!(json["proved"], false, "{json}");
    assert!(!json["reason"].as_str().unwrap().is_empty(), "{json}");
    assert!(ended.errors.contains("証明されませんでした") && ended.errors.contains("not proved"));
}

#[track_caller]
fn usage(ended: &Ended) {
    assert_eq!(ended.code, 2, "{} {}", ended.output, ended.errors);
    assert_eq!(ended.output, "");
}

/// `vrx --json verify inclusion …`.
fn inclusion(index: &str, size: &str, leaf: &Hash, path: &[Hash], root: &Hash) -> Ended {
    let mut arguments = vec!["--json", "verify", "inclusion"];
    let (leaf, root) = (b64(leaf), b64(root));
    arguments.extend([
        "--index",
        index,
        "--size",
        size,
        "--leaf-hash",
        &leaf,
        "--root",
        &root,
    ]);
    let path: Vec<String> = path.iter().map(b64).collect();
    arguments.extend(path.iter().flat_map(|hash| ["--proof", hash.as_str()]));
    vrx(&arguments, std::path::Path::new("/"), "")
}

fn consistency(old: (&str, Hash), new: (&str, Hash), path: &[Hash]) -> Ended {
    let (old_root, new_root) = (b64(&old.1), b64(&new.1));
    let mut arguments = vec!["--json", "verify", "consistency"];
    arguments.extend(["--old-size", old.0, "--new-size", new.0]);
    arguments.extend(["--old-root", &old_root, "--new-root", &new_root]);
    let path: Vec<String> = path.iter().map(b64).collect();
    arguments.extend(path.iter().flat_map(|hash| ["--proof", hash.as_str()]));
    vrx(&arguments, std::path::Path::new("/"), "")
}

/// RFC 6962's node hash, written here again.
fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[test]
fn an_inclusion_proof_holds_for_its_numbers_and_hashes_alone() {
    let log = Made::new(11);
    let tree = log.tree(11);
    let path = tree.snapshot().inclusion(6, &NoTiles).unwrap();
    let leaf = vrx_tlog::leaf_hash(&log.leaves[6]);
    let json = proved(&inclusion("6", "11", &leaf, &path, &tree.root()));
    assert_eq!((&json["index"], &json["size"]), (&6.into(), &11.into()));
    not_proved(&inclusion("7", "11", &leaf, &path, &tree.root()));
    not_proved(&inclusion("11", "11", &leaf, &path, &tree.root()));
    not_proved(&inclusion("6", "25", &leaf, &path, &tree.root()));
    not_proved(&inclusion("6", "11", &[0; 32], &path, &tree.root()));
    not_proved(&inclusion("6", "11", &leaf, &path[1..], &tree.root()));
    not_proved(&inclusion("6", "11", &leaf, &path, &[0; 32]));
    for bad in ["06", "-6", "+6", "", " 6", "18446744073709551616", "0x6"] {
        usage(&inclusion(bad, "11", &leaf, &path, &tree.root()));
        usage(&inclusion("6", bad, &leaf, &path, &tree.root()));
    }
}

#[test]
fn the_smallest_and_the_largest_trees_are_verified() {
    let leaf = [7; 32];
    proved(&inclusion("0", "1", &leaf, &[], &leaf));
    not_proved(&inclusion("0", "0", &leaf, &[], &leaf));
    // 2^63 leaves: 63 siblings, each on the side that its bit of the index says.
    let (index, mut hash) = (0x5aaa_aaaa_aaaa_aaaa_u64, leaf);
    let path: Vec<Hash> = (1..=63_u8).map(|n| [n; 32]).collect();
    for (bit, sibling) in path.iter().enumerate() {
        hash = if index >> bit & 1 == 1 {
            node(sibling, &hash)
        } else {
            node(&hash, sibling)
        };
    }
    let size = (1_u64 << 63).to_string();
    proved(&inclusion(&index.to_string(), &size, &leaf, &path, &hash));
    not_proved(&inclusion(
        &(index ^ 1).to_string(),
        &size,
        &leaf,
        &path,
        &hash,
    ));
    // One leaf more: it stands alone beside all the others.
    let more = (1_u64 << 63) + 1;
    let root = node(&hash, &leaf);
    proved(&inclusion(&size, &more.to_string(), &leaf, &[hash], &root));
    proved(&consistency(
        (&size, hash),
        (&more.to_string(), root),
        &[leaf],
    ));
    not_proved(&consistency(
        (&size, root),
        (&more.to_string(), root),
        &[leaf],
    ));
    let last = u64::MAX.to_string();
    not_proved(&inclusion(&last, &last, &leaf, &path, &hash));
    proved(&consistency((&last, root), (&last, root), &[]));
}

#[test]
fn a_consistency_proof_holds_for_its_trees_alone() {
    let log = Made::new(300);
    let (old, new) = (log.tree(257), log.tree(300));
    let path = new.snapshot().consistency(257, &NoTiles).unwrap();
    proved(&consistency(
        ("257", old.root()),
        ("300", new.root()),
        &path,
    ));
    proved(&consistency(
        ("0", vrx_tlog::EMPTY_ROOT),
        ("300", new.root()),
        &[],
    ));
    proved(&consistency(("300", new.root()), ("300", new.root()), &[]));
    not_proved(&consistency(
        ("256", old.root()),
        ("300", new.root()),
        &path,
    ));
    not_proved(&consistency(
        ("257", old.root()),
        ("299", new.root()),
        &path[1..],
    ));
    not_proved(&consistency(
        ("300", new.root()),
        ("257", old.root()),
        &path,
    ));
    not_proved(&consistency(("0", old.root()), ("300", new.root()), &[]));
    not_proved(&consistency(("257", [0; 32]), ("300", new.root()), &path));
    usage(&consistency(
        ("0257", old.root()),
        ("300", new.root()),
        &path,
    ));
}

#[test]
fn a_checkpoint_needs_the_log_s_signature_and_the_quorum() {
    let log = Made::new(9);
    let file = log.file("checkpoint", log.note(9, &[1, 3]));
    let json = proved(&log.verify("checkpoint", &[&file], ""));
    assert_eq!(json["size"], 9);
    assert_eq!(json["cosignatures"], serde_json::json!([]));
    let keys: Vec<String> = (1..=3).map(|seed| witness(seed).to_string()).collect();
    let all = [
        "--witness",
        &keys[0],
        "--witness",
        &keys[1],
        "--witness",
        &keys[2],
    ];
    let with = |more: &[&str]| {
        let mut arguments = all.to_vec();
        arguments.extend(more);
        arguments.push(&file);
        log.verify("checkpoint", &arguments, "")
    };
    let json = proved(&with(&["--quorum", "2"]));
    assert_eq!(json["quorum"], 2);
    assert_eq!(json["cosignatures"][1]["witness"], "w3.example");
    assert_eq!(
        json["cosignatures"][1]["time"],
        "2027-01-15T17:00:00.000+09:00"
    );
    not_proved(&with(&["--quorum", "3"]));
    not_proved(&with(&[])); // all of them
    usage(&with(&["--quorum", "4"]));
    usage(&with(&["--quorum", "02"]));
    usage(&with(&["--witness", &keys[0]]));
    let forged = log.note(9, &[1, 3]).replace("\n9\n", "\n8\n");
    not_proved(&log.verify("checkpoint", &[&log.file("forged", forged)], ""));
    let other = Made::new(9).note(9, &[]).replace("142051", "141003");
    not_proved(&log.verify("checkpoint", &[&log.file("other", other)], ""));
    let epoch = log.note(9, &[]).replace("/log/1", "/log/2");
    let epoch = log.verify("checkpoint", &[&log.file("epoch", epoch)], "");
    assert!(
        epoch.errors.contains("another epoch of that log"),
        "{epoch:?}"
    );
    not_proved(&epoch);
    let bad_witness = log.note(9, &[1]).replace("w1.example", "w2.example");
    let bad_witness = log.file("bad-witness", bad_witness);
    // A line of that name and another id is somebody else's, and passed over.
    not_proved(&log.verify("checkpoint", &["--witness", &keys[1], &bad_witness], ""));
    for (name, text) in [
        ("empty", String::new()),
        ("text", "no checkpoint\n".to_owned()),
        ("zeros", log.note(9, &[]).replace("\n9\n", "\n09\n")),
        ("cut", log.note(9, &[]).trim_end().to_owned()),
    ] {
        let ended = log.verify("checkpoint", &[&log.file(name, text)], "");
        // With a leading zero the signature is the first thing that doesn't hold.
        assert!(
            ended.code == 2 || name == "zeros" && ended.code == 1,
            "{name} {ended:?}"
        );
    }
    usage(&log.verify("checkpoint", &["no-such-file"], ""));
    let witness_as_log = ["--json", "verify", "checkpoint", "--vkey", &keys[0], &file];
    usage(&vrx(&witness_as_log, log.folder.path(), ""));
}

#[test]
fn a_proof_is_of_the_entry_that_comes_with_it_or_is_named() {
    let log = Made::new(270);
    let file = log.proof_file(200, 270);
    let json = proved(&log.verify("proof", &[&file], ""));
    assert_eq!((&json["index"], &json["size"]), (&200.into(), &270.into()));
    let entry = log.file("entry", log.leaves[200]);
    let other = log.file("other-entry", log.leaves[201]);
    let hash = b64(&vrx_tlog::leaf_hash(&log.leaves[200]));
    proved(&log.verify("proof", &["--entry", &entry, &file], ""));
    proved(&log.verify("proof", &["--leaf-hash", &hash, &file], ""));
    not_proved(&log.verify("proof", &["--entry", &other, &file], ""));
    not_proved(&log.verify("proof", &["--leaf-hash", &b64(&[0; 32]), &file], ""));
    let key = witness(1).to_string();
    proved(&log.verify("proof", &["--witness", &key, &file], ""));
    let bare = TlogProof {
        extra: None,
        ..TlogProof::from(&log.receipt(200, 270, 0))
    };
    let bare = log.file("bare.tlog-proof", bare.to_string());
    usage(&log.verify("proof", &[&bare], ""));
    proved(&log.verify("proof", &["--leaf-hash", &hash, &bare], ""));
    let moved = std::fs::read_to_string(&file).unwrap();
    let moved = log.file("moved", moved.replace("index 200", "index 201"));
    not_proved(&log.verify("proof", &[&moved], ""));
    usage(&log.verify("proof", &[&log.file("json", "{}")], ""));
}

#[test]
fn a_receipt_says_what_stands_where_and_continues_what_was_known() {
    let log = Made::new(40);
    let json = proved(&log.verify("receipt", &[&log.proof_file(5, 40)], ""));
    assert_eq!(
        (&json["log_index"], &json["kind"]),
        (&5.into(), &"exchange".into())
    );
    assert_eq!(json["time"], "2026-02-02T11:40:00.005+09:00");
    // As --json prints it, alone and inside a whole output.
    let receipt = log.receipt(5, 40, 12);
    let hexadecimal = |hashes: &[Hash]| hashes.iter().map(hex::encode).collect::<Vec<_>>();
    let json = serde_json::json!({
        "log_index": 5,
        "leaf": hex::encode(receipt.leaf),
        "checkpoint": receipt.checkpoint,
        "inclusion_proof": hexadecimal(&receipt.inclusion_proof),
        "consistency_proof": hexadecimal(&receipt.consistency_proof),
    });
    let alone = log.file("receipt.json", json.to_string());
    let inside = serde_json::json!({ "outcome": "found", "receipt": json });
    let inside = log.file("answer.json", inside.to_string());
    proved(&log.verify("receipt", &[&alone], ""));
    proved(&log.verify("receipt", &[&inside], ""));
    let known = log.file("known", log.note(12, &[]));
    let later = log.file("later", log.note(13, &[]));
    let json = proved(&log.verify("receipt", &["--known", &known, &alone], ""));
    assert_eq!(json["continues"], 12);
    not_proved(&log.verify("receipt", &["--known", &later, &alone], ""));
    let mut moved = receipt.clone();
    moved.log_index = 4;
    let moved = log.file("moved", TlogProof::from(&moved).to_string());
    not_proved(&log.verify("receipt", &[&moved], ""));
    let mut changed = receipt;
    changed.leaf[100] ^= 1;
    let changed = log.file("changed", TlogProof::from(&changed).to_string());
    not_proved(&log.verify("receipt", &[&changed], ""));
    usage(&log.verify("receipt", &[&log.file("list", "[1, 2]")], ""));
    usage(&log.verify("receipt", &["--known", "no-such-file", &alone], ""));
}

#[test]
fn openings_show_what_was_committed_once_the_number_is_typed() {
    let log = Made::new(8);
    let file = log.proof_file(5, 8);
    let shown = log.file("openings.json", openings().to_string());
    let ended = log.verify(
        "receipt",
        &["--openings", &shown, &file],
        &format!("{NUMBER}\n"),
    );
    let json = proved(&ended);
    let shown_values = &json["openings"];
    assert_eq!(shown_values["subject"]["individual_number"], true);
    assert_eq!(shown_values["subject"]["cause"], "provided");
    assert_eq!(shown_values["actor"]["legal_basis"], "v5");
    assert_eq!(shown_values["content"]["outcome"], "found");
    assert!(!ended.output.contains(NUMBER) && !ended.errors.contains(NUMBER));
    // Another number, or none, is not what was committed.
    let other = "621498320257\n";
    not_proved(&log.verify("receipt", &["--openings", &shown, &file], other));
    usage(&log.verify("receipt", &["--openings", &shown, &file], "123456789010\n"));
    usage(&log.verify("receipt", &["--openings", &shown, &file], ""));
    // Without the subject no number is asked for.
    let mut without = openings();
    without.as_object_mut().unwrap().remove("subject");
    let without = log.file("without.json", without.to_string());
    let json = proved(&log.verify("receipt", &["--openings", &without, &file], ""));
    assert_eq!(json["openings"]["subject"], serde_json::Value::Null);
    for (name, change) in [
        ("a changed value", ("/actor/values/5", "v6")),
        ("another key", ("/content/key", &*"00".repeat(32))),
    ] {
        let mut changed = openings();
        *changed.pointer_mut(change.0).unwrap() = change.1.into();
        let changed = log.file(name, changed.to_string());
        not_proved(&log.verify(
            "receipt",
            &["--openings", &changed, &file],
            &format!("{NUMBER}\n"),
        ));
    }
    for (name, change) in [
        (
            "the number in the file",
            ("/subject/values/0", NUMBER.into()),
        ),
        (
            "a number elsewhere",
            ("/actor/values/0", serde_json::Value::Null),
        ),
        ("a short key", ("/actor/key", "00".into())),
        (
            "too few values",
            ("/content/values", serde_json::json!(["found"])),
        ),
    ] {
        let mut changed = openings();
        *changed.pointer_mut(change.0).unwrap() = change.1;
        let changed = log.file(name, changed.to_string());
        usage(&log.verify(
            "receipt",
            &["--openings", &changed, &file],
            &format!("{NUMBER}\n"),
        ));
    }
    usage(&log.verify(
        "receipt",
        &["--openings", &log.file("none.json", "{}"), &file],
        "",
    ));
}

#[test]
fn an_exported_log_is_verified_to_the_last_byte_with_and_without_its_entries() {
    for (size, tiles) in [(0, 0), (1, 1), (255, 1), (256, 2), (700, 4), (65_536, 258)] {
        let log = Made::new(size);
        for entries in [false, true] {
            let folder = log.export(if entries { "entries" } else { "bare" }, entries);
            let json = proved(&log.verify("log", &[folder.to_str().unwrap()], ""));
            assert_eq!(
                (&json["size"], &json["tiles"]),
                (&size.into(), &tiles.into())
            );
            let checked = if entries { size } else { 0 };
            assert_eq!(json["entries_checked"], checked);
        }
    }
}

#[test]
fn every_changed_missing_or_longer_file_of_an_export_is_refused() {
    let log = Made::new(700);
    let folder = log.export("log", true);
    let files = [
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/188",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/188",
    ];
    let verify = || log.verify("log", &[folder.to_str().unwrap()], "");
    proved(&verify());
    for name in files {
        let path = folder.join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, changed).unwrap();
            not_proved(&verify());
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        not_proved(&verify());
        std::fs::write(&path, [whole.as_slice(), &[0; 32]].concat()).unwrap();
        not_proved(&verify());
        std::fs::remove_file(&path).unwrap();
        not_proved(&verify());
        std::fs::write(&path, &whole).unwrap();
    }
    proved(&verify());
    // Only the tiles: a changed leaf hash no longer leads to the root.
    let bare = log.export("bare", false);
    let verify = || log.verify("log", &[bare.to_str().unwrap()], "");
    let path = bare.join("tile/0/001");
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[7] ^= 1;
    std::fs::write(&path, changed).unwrap();
    not_proved(&verify());
    std::fs::write(&path, whole).unwrap();
    // The checkpoint of another size, rightly signed.
    std::fs::write(bare.join("checkpoint"), log.note(699, &[])).unwrap();
    not_proved(&verify());
    std::fs::remove_file(bare.join("checkpoint")).unwrap();
    usage(&verify());
}

#[test]
fn a_file_among_the_tiles_that_is_not_the_tree_s_is_a_finding() {
    let log = Made::new(700);
    for entries in [false, true] {
        let folder = log.export(if entries { "entries" } else { "bare" }, entries);
        let verify = || log.verify("log", &[folder.to_str().unwrap()], "");
        assert_eq!(proved(&verify())["earlier_tiles"], 0);
        let stray = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            let parent = path.parent().unwrap();
            let made = !parent.exists();
            std::fs::create_dir_all(parent).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let ended = verify();
            if made {
                std::fs::remove_dir_all(parent).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
            ended
        };
        for name in [
            "tile/0/003",
            "tile/0/002.p/189",
            "tile/0/000.p/100",
            "tile/1/001.p/1",
            "tile/2/000.p/1",
            "tile/.DS_Store",
            "tile/0/x001/000",
        ] {
            not_proved(&stray(name, &[7; 3_200]));
        }
        // What a smaller export left says the same.
        let whole = std::fs::read(folder.join("tile/0/000")).unwrap();
        let left = stray("tile/0/000.p/100", &whole[..3_200]);
        assert_eq!(proved(&left)["earlier_tiles"], 1);
        // Beside the tiles anything may lie: nothing is said of it.
        proved(&stray("README", b"text"));
        if entries {
            let bundle = std::fs::read(folder.join("tile/entries/000")).unwrap();
            let left = stray("tile/entries/000.p/2", &bundle[..2 * 136]);
            assert_eq!(proved(&left)["earlier_tiles"], 1);
            not_proved(&stray("tile/entries/000.p/2", &bundle[..2 * 136 - 1]));
        }
    }
}

#[test]
fn the_wrong_kind_of_file_is_told_from_a_forged_one() {
    let log = Made::new(8);
    let ended = log.verify("checkpoint", &[&log.proof_file(5, 8)], "");
    usage(&ended);
    assert!(
        ended.errors.contains("vrx verify proof"),
        "{}",
        ended.errors
    );
    let binary = log.folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let ended = log.verify("checkpoint", &[binary.to_str().unwrap()], "");
    usage(&ended);
    assert!(ended.errors.contains("文字のファイル"), "{}", ended.errors);
}

#[test]
fn people_get_one_sentence_in_two_languages() {
    let log = Made::new(8);
    let vkey = log.key.to_string();
    let file = log.proof_file(5, 8);
    let shown = log.file("openings.json", openings().to_string());
    let arguments = [
        "verify",
        "receipt",
        "--vkey",
        &vkey,
        "--openings",
        &shown,
        &file,
    ];
    let ended = vrx(&arguments, log.folder.path(), &format!("{NUMBER}\n"));
    assert_eq!((ended.code, ended.errors.as_str()), (0, ""));
    for text in [
        "証明されました",
        "これだけでは分からないこと",
        "proved:",
        "not proved by this:",
        "provided",
    ] {
        assert!(ended.output.contains(text), "{}", ended.output);
    }
    assert!(!ended.output.contains(NUMBER));
    let wrong = [
        "verify",
        "receipt",
        "--vkey",
        &vkey,
        &log.file("text", "text"),
    ];
    let ended = vrx(&wrong, log.folder.path(), "");
    assert_eq!(ended.code, 2);
    assert!(
        ended.errors.contains("受領証として読めません"),
        "{}",
        ended.errors
    );
}

#[test]
fn no_socket_is_opened() {
    let log = Made::new(300);
    let folder = log.export("log", true);
    let calls = log.folder.path().join("calls");
    let status = std::process::Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=socket,connect,bind,execve", "-o"])
        .arg(&calls)
        .arg(vrx_tests::demo::program("vrx").unwrap())
        .args(["--json", "verify", "log", "--vkey", &log.key.to_string()])
        .arg(&folder)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let calls = std::fs::read_to_string(&calls).unwrap();
    let names: Vec<&str> = calls
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["execve"], "{calls}");
}
