//! What a path below `/municipality/` names: a tenant, and something of its log or of it as a witness.

use http::Method;
use vrx_domain::MunicipalityCode;
use vrx_tlog::Resource;

const PREFIX: &str = "/municipality/";

/// Whether a path belongs to this part of the listener; gRPC's paths begin with a package's name.
pub(crate) fn is_here(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// A path that names a municipality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) code: MunicipalityCode,
    /// Nothing where the rest of the path names nothing.
    pub(super) what: Option<What>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// `log/checkpoint`, `log/tile/…`: C2SP tlog-tiles.
    Log(Resource),
    /// `log/checkpoint.witnessed`: the newest checkpoint with a quorum of cosignatures.
    Witnessed,
    /// `witness/add-checkpoint`: C2SP tlog-witness.
    AddCheckpoint,
    /// `witness/<SHA-256 of the origin, hex>/checkpoint`: what this tenant cosigned last of a log.
    Cosigned(String),
}

impl Route {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (code, rest) = path.strip_prefix(PREFIX)?.split_once('/')?;
        Some(Self {
            code: code.parse().ok()?,
            what: What::parse(rest),
        })
    }
}

impl What {
    fn parse(path: &str) -> Option<Self> {
        if let Some(path) = path.strip_prefix("log/") {
            return match path {
                "checkpoint.witnessed" => Some(Self::Witnessed),
                path => Resource::parse(path).map(Self::Log),
            };
        }
        match path.strip_prefix("witness/")? {
            "add-checkpoint" => Some(Self::AddCheckpoint),
            path => {
                let hash = path.strip_suffix("/checkpoint")?;
                let is_hash = hash.len() == 64
                    && hash
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                is_hash.then(|| Self::Cosigned(hash.to_owned()))
            }
        }
    }

    /// The one method it is asked with.
    pub(super) fn method(&self) -> Method {
        match self {
            Self::AddCheckpoint => Method::POST,
            Self::Log(_) | Self::Witnessed | Self::Cosigned(_) => Method::GET,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrx_tlog::TileId;

    use super::*;

    fn what(rest: &str) -> Option<What> {
        let route = Route::parse(&format!("/municipality/142051/{rest}")).unwrap();
        assert_eq!(route.code.to_string(), "142051");
        route.what
    }

    #[test]
    fn each_path_names_what_the_specifications_say() {
        assert_eq!(
            what("log/checkpoint"),
            Some(What::Log(Resource::Checkpoint))
        );
        assert_eq!(what("log/checkpoint.witnessed"), Some(What::Witnessed));
        assert_eq!(
            what("log/tile/1/x001/002.p/3"),
            Some(What::Log(Resource::Tile {
                id: TileId {
                    level: 1,
                    index: 1_002
                },
                width: 3
            }))
        );
        assert_eq!(
            what("log/tile/entries/000"),
            Some(What::Log(Resource::Entries {
                index: 0,
                width: 256
            }))
        );
        assert_eq!(what("witness/add-checkpoint"), Some(What::AddCheckpoint));
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(
            what(&format!("witness/{hash}/checkpoint")),
            Some(What::Cosigned(hash))
        );
    }

    #[test]
    fn other_paths_of_a_municipality_name_nothing() {
        let upper = "0123456789ABCDEF".repeat(4);
        for rest in [
            "",
            "log",
            "log/",
            "log//checkpoint",
            "log/../witness/add-checkpoint",
            "log/tile/0/000/",
            "witness",
            "witness/",
            "witness/add-checkpoint/",
            "witness/00/checkpoint",
            &format!("witness/{upper}/checkpoint"),
        ] {
            assert_eq!(what(rest), None, "{rest}");
        }
        for path in [
            "/municipality",
            "/municipality/",
            "/municipality/142051",
            "/municipality/142052/log/checkpoint",
            "/municipality/14205/log/checkpoint",
            "/vrx.v1.ExchangeService/QueryRecords",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
