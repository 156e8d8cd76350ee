//! The checked-in code is what the `.proto` files say, and no message with a resident in it can be printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

use std::path::{Path, PathBuf};

const FILES: [&str; 7] = [
    "common",
    "exchange",
    "registry",
    "audit",
    "receipt",
    "reconciliation",
    "retention",
];

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names in `src/redact.rs`, read as text: the crate itself can't be asked before its code is made.
fn personal() -> Vec<String> {
    let list = std::fs::read_to_string(crate_dir().join("src/redact.rs")).unwrap();
    list.lines()
        .filter_map(|line| line.trim().split_once(" => v1::"))
        .map(|(name, _)| name.trim_matches('"').to_owned())
        .collect()
}

fn generate(into: &Path) -> String {
    let protos = FILES.map(|name| crate_dir().join(format!("vrx/v1/{name}.proto")));
    let descriptors = protox::compile(protos, [crate_dir()]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .build_server(true)
        .build_client(true)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .skip_debug(personal().iter().map(|name| format!(".vrx.v1.{name}")))
        .out_dir(into)
        .compile_fds(descriptors)
        .expect("the code is written");
    std::fs::read_to_string(into.join("vrx.v1.rs")).unwrap()
}

#[test]
fn the_checked_in_code_is_what_the_proto_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = generate(dir.path());
    let kept = crate_dir().join("src/gen/vrx.v1.rs");
    if std::env::var_os("VRX_REGENERATE").is_some() {
        std::fs::write(&kept, &fresh).unwrap();
    }
    assert!(
        std::fs::read_to_string(&kept).unwrap() == fresh,
        "proto/src/gen is stale: VRX_REGENERATE=1 cargo test -p vrx-proto --features regenerate --test generated"
    );
}

#[test]
fn no_message_with_a_resident_in_it_derives_debug() {
    let code = std::fs::read_to_string(crate_dir().join("src/gen/vrx.v1.rs")).unwrap();
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let mut seen = 0;
    let personal = personal();
    assert!(personal.len() >= 16);
    for name in &personal {
        let declared = match name.split_once('.') {
            Some((_, oneof)) => {
                let (first, rest) = oneof.split_at(1);
                format!("pub enum {}{rest} {{", first.to_uppercase())
            }
            None => format!("pub struct {name} {{"),
        };
        for at in (0..lines.len()).filter(|at| lines.get(*at) == Some(&declared.as_str())) {
            seen += 1;
            let attributes: Vec<&str> = lines
                .iter()
                .take(at)
                .rev()
                .take_while(|line| line.starts_with("#["))
                .copied()
                .collect();
            assert!(
                attributes.contains(&"#[prost(skip_debug)]"),
                "{name} derives Debug: {attributes:?}"
            );
        }
    }
    assert_eq!(seen, personal.len());
}

#[test]
fn every_field_and_message_of_the_wire_has_a_comment() {
    for name in FILES {
        let text =
            std::fs::read_to_string(crate_dir().join(format!("vrx/v1/{name}.proto"))).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (above, line) in lines.iter().zip(lines.iter().skip(1)) {
            let declares = ["message ", "enum ", "service ", "rpc ", "oneof "]
                .iter()
                .any(|word| line.starts_with(word))
                || (line.ends_with(';') && line.contains(" = ") && !line.starts_with("//"));
            assert!(
                !declares || above.starts_with("//"),
                "{name}.proto: no comment above `{line}`"
            );
        }
    }
}
