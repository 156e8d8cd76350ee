//! The rooms of the house: which crate may use which, and which outside library. Reads every `Cargo.toml`.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a room may use of the house, and which libraries it must never name.
struct Room {
    folder: &'static str,
    name: &'static str,
    may_use: &'static [&'static str],
    /// Allowed beside `may_use` in `[dev-dependencies]`.
    in_tests: &'static [&'static str],
    never: &'static [&'static str],
}

const NETWORK: &[&str] = &[
    "tonic",
    "axum",
    "hyper",
    "hyper-util",
    "rustls",
    "tokio-rustls",
];
const DATABASES: &[&str] = &["sqlx", "rusqlite"];
const EVERY_ROOM: &[&str] = &[
    "vrx-domain",
    "vrx-crypto",
    "vrx-storage",
    "vrx-tlog",
    "vrx-provision-log",
    "vrx-services",
    "vrx-transport",
];

const ROOMS: &[Room] = &[
    Room {
        folder: "proto",
        name: "vrx-proto",
        may_use: &[],
        in_tests: &[],
        never: DATABASES,
    },
    Room {
        folder: "node/domain",
        name: "vrx-domain",
        may_use: &[],
        in_tests: &[],
        never: &[
            "tonic", "axum", "rustls", "sqlx", "rusqlite", "ring", "aes-gcm", "tokio", "serde",
        ],
    },
    Room {
        folder: "node/crypto",
        name: "vrx-crypto",
        may_use: &["vrx-domain"],
        in_tests: &[],
        never: &["tonic", "axum", "rustls", "sqlx", "rusqlite", "tokio"],
    },
    Room {
        folder: "node/storage",
        name: "vrx-storage",
        may_use: &["vrx-domain", "vrx-crypto"],
        in_tests: &["vrx-testkit", "vrx-storage"],
        never: NETWORK,
    },
    Room {
        folder: "node/tlog",
        name: "vrx-tlog",
        may_use: &[],
        in_tests: &[],
        never: &[
            "tonic", "axum", "rustls", "sqlx", "rusqlite", "tokio", "ring",
        ],
    },
    Room {
        folder: "node/provision-log",
        name: "vrx-provision-log",
        may_use: &["vrx-domain", "vrx-crypto", "vrx-tlog", "vrx-storage"],
        in_tests: &["vrx-testkit"],
        never: &["tonic", "axum", "rustls", "sqlx", "rusqlite"],
    },
    Room {
        folder: "node/services",
        name: "vrx-services",
        may_use: &[
            "vrx-domain",
            "vrx-crypto",
            "vrx-tlog",
            "vrx-storage",
            "vrx-provision-log",
        ],
        in_tests: &["vrx-testkit"],
        never: &["tonic", "axum", "rustls", "sqlx", "rusqlite", "prost"],
    },
    Room {
        folder: "node/transport",
        name: "vrx-transport",
        may_use: &["vrx-services", "vrx-domain", "vrx-proto", "vrx-tlog"],
        in_tests: &["vrx-testkit", "vrx-certs-dev"],
        never: DATABASES,
    },
    Room {
        folder: "node/app",
        name: "vrx-node",
        may_use: EVERY_ROOM,
        in_tests: &["vrx-testkit", "vrx-certs-dev"],
        never: &["tonic", "axum", "sqlx", "rusqlite"],
    },
    Room {
        folder: "node/testkit",
        name: "vrx-testkit",
        may_use: &[
            "vrx-domain",
            "vrx-crypto",
            "vrx-storage",
            "vrx-tlog",
            "vrx-provision-log",
            "vrx-services",
            "vrx-transport",
            "vrx-proto",
            "vrx-certs-dev",
        ],
        in_tests: &[],
        never: &[],
    },
    Room {
        folder: "cli",
        name: "vrx-cli",
        may_use: &["vrx-domain", "vrx-proto", "vrx-tlog", "vrx-certs-dev"],
        in_tests: &[],
        never: DATABASES,
    },
    Room {
        folder: "certs-dev",
        name: "vrx-certs-dev",
        may_use: &[],
        in_tests: &[],
        never: &["tonic", "sqlx", "rusqlite"],
    },
    Room {
        folder: "tests",
        name: "vrx-tests",
        may_use: &[
            "vrx-domain",
            "vrx-proto",
            "vrx-tlog",
            "vrx-certs-dev",
            "vrx-testkit",
        ],
        in_tests: EVERY_ROOM,
        never: &[],
    },
];

#[test]
fn no_room_uses_another_that_the_plan_does_not_allow() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        let manifest = manifest(&root().join(room.folder));
        assert_eq!(
            manifest["package"]["name"].as_str(),
            Some(room.name),
            "{}",
            room.folder
        );
        let normal = dependencies(&manifest, &["dependencies", "build-dependencies"]);
        let tests = dependencies(&manifest, &["dev-dependencies"]);
        for used in &normal {
            if used.starts_with("vrx-") && !room.may_use.contains(&used.as_str()) {
                wrong.push(format!("{} may not use {used}", room.name));
            }
            if room.never.contains(&used.as_str()) {
                wrong.push(format!("{} must never touch {used}", room.name));
            }
        }
        for used in &tests {
            if used.starts_with("vrx-")
                && !room.may_use.contains(&used.as_str())
                && !room.in_tests.contains(&used.as_str())
            {
                wrong.push(format!("{} may not use {used} in its tests", room.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_testkit_ships_in_no_program() {
    for room in ROOMS.iter().filter(|room| room.folder != "tests") {
        let manifest = manifest(&root().join(room.folder));
        let normal = dependencies(&manifest, &["dependencies", "build-dependencies"]);
        assert!(
            !normal.contains("vrx-testkit"),
            "{} ships the testkit",
            room.name
        );
    }
}

#[test]
fn every_room_in_the_workspace_is_in_the_plan() {
    let workspace = manifest(&root());
    let members: BTreeSet<String> = workspace["workspace"]["members"]
        .as_array()
        .expect("members")
        .iter()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect();
    let planned: BTreeSet<String> = ROOMS.iter().map(|room| room.folder.to_owned()).collect();
    assert_eq!(members, planned);
}

#[test]
fn every_room_forbids_unsafe_code_and_takes_its_versions_from_the_workspace() {
    assert_eq!(
        manifest(&root())["workspace"]["lints"]["rust"]["unsafe_code"].as_str(),
        Some("forbid")
    );
    for room in ROOMS {
        let manifest = manifest(&root().join(room.folder));
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{} doesn't take the workspace's lints",
            room.name
        );
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest
                .get(table)
                .and_then(|t| t.as_table())
                .into_iter()
                .flatten()
            {
                assert_eq!(
                    value.get("workspace").and_then(toml::Value::as_bool),
                    Some(true),
                    "{}: {name} doesn't come from the workspace",
                    room.name
                );
            }
        }
    }
}

#[test]
fn every_dependency_of_the_workspace_has_a_user() {
    let workspace = manifest(&root());
    let mut users: BTreeMap<String, usize> = workspace["workspace"]["dependencies"]
        .as_table()
        .expect("dependencies")
        .keys()
        .map(|name| (name.clone(), 0))
        .collect();
    for room in ROOMS {
        let manifest = manifest(&root().join(room.folder));
        for used in dependencies(
            &manifest,
            &["dependencies", "dev-dependencies", "build-dependencies"],
        ) {
            *users.entry(used).or_default() += 1;
        }
    }
    let idle: Vec<_> = users.iter().filter(|(_, count)| **count == 0).collect();
    assert!(idle.is_empty(), "declared and used nowhere: {idle:?}");
}

fn dependencies(manifest: &toml::Table, tables: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for table in tables {
        for name in manifest
            .get(*table)
            .and_then(toml::Value::as_table)
            .into_iter()
            .flat_map(|entries| entries.keys())
        {
            names.insert(name.clone());
        }
    }
    names
}

fn manifest(folder: &Path) -> toml::Table {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
