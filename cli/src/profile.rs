//! Which node to talk to, and as whom: a profile file (TOML), overridden by flags and environment variables.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use vrx_domain::MunicipalityCode;

use crate::failure::Failure;

/// 接続先と証明書 / the node and the certificate.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "接続 / Connection")]
pub(crate) struct ConnectionArgs {
    // Said as an attribute: in a doc comment the names of keys would need backticks, and a terminal shows those.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "VRX_PROFILE",
        help = "接続プロファイル (TOML: address, municipality_code, server_name, ca, cert, key, log_vkey) / connection profile"
    )]
    profile: Option<PathBuf>,
    /// ノードのアドレス host:port / the node's address
    #[arg(long, global = true, value_name = "HOST:PORT", env = "VRX_ADDRESS")]
    address: Option<String>,
    /// 自治体コード (6桁) / own municipality code
    #[arg(
        long,
        global = true,
        value_name = "CODE",
        env = "VRX_MUNICIPALITY_CODE"
    )]
    municipality_code: Option<String>,
    /// TLS で名乗るサーバー名 (省略時は address のホスト) / server name sent in TLS
    #[arg(long, global = true, value_name = "NAME", env = "VRX_SERVER_NAME")]
    server_name: Option<String>,
    /// 連合の認証局の証明書 (PEM) / the federation's CA
    #[arg(long, global = true, value_name = "FILE", env = "VRX_CA")]
    ca: Option<PathBuf>,
    /// 自分の証明書 (PEM) / own certificate
    #[arg(long, global = true, value_name = "FILE", env = "VRX_CERT")]
    cert: Option<PathBuf>,
    /// 自分の秘密鍵 (PEM) / own private key
    #[arg(long, global = true, value_name = "FILE", env = "VRX_KEY")]
    key: Option<PathBuf>,
    /// 提供記録の検証鍵 (log verify が署名の確認に使う) / verifier key of the log, for log verify
    #[arg(long, global = true, value_name = "VKEY", env = "VRX_LOG_VKEY")]
    log_vkey: Option<String>,
    /// 応答を待つ秒数 / seconds to wait for an answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// What a profile file holds; relative paths are relative to the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileFile {
    /// host:port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// 6 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) municipality_code: Option<String>,
    /// DNS name for TLS; the host of `address` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
    /// The federation's CA (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Own certificate, then its chain (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    /// Own private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Verifier key of the tenant's provision log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_vkey: Option<String>,
}

/// A complete connection.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) address: String,
    pub(crate) municipality: MunicipalityCode,
    pub(crate) server_name: String,
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) log_vkey: Option<String>,
    pub(crate) timeout: std::time::Duration,
}

impl Profile {
    /// Puts flags, environment and profile file together; a missing or wrong part is named with its remedy.
    pub(crate) fn resolve(args: &ConnectionArgs) -> Result<Self, Failure> {
        let file = match &args.profile {
            Some(path) => read(path)?,
            None => ProfileFile::default(),
        };
        let address = required(
            args.address.clone().or(file.address),
            "address",
            "--address",
            "VRX_ADDRESS",
        )?;
        let code = required(
            args.municipality_code.clone().or(file.municipality_code),
            "municipality_code",
            "--municipality-code",
            "VRX_MUNICIPALITY_CODE",
        )?;
        let municipality = code.parse().map_err(|_| {
            Failure::Configuration(format!(
                "自治体コード {code} が正しくありません（検査数字を含む6桁。区・都道府県は不可）/ not a municipality code"
            ))
        })?;
        let host = address
            .rsplit_once(':')
            .map_or(address.as_str(), |(host, _)| host);
        Ok(Self {
            server_name: args
                .server_name
                .clone()
                .or(file.server_name)
                .unwrap_or_else(|| host.to_owned()),
            municipality,
            ca: required(args.ca.clone().or(file.ca), "ca", "--ca", "VRX_CA")?,
            cert: required(
                args.cert.clone().or(file.cert),
                "cert",
                "--cert",
                "VRX_CERT",
            )?,
            key: required(args.key.clone().or(file.key), "key", "--key", "VRX_KEY")?,
            log_vkey: args.log_vkey.clone().or(file.log_vkey),
            timeout: std::time::Duration::from_secs(args.timeout.max(1)),
            address,
        })
    }

    /// The connection that a profile file says, and nothing else.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::resolve(&ConnectionArgs {
            profile: Some(path.to_owned()),
            timeout: 60,
            ..ConnectionArgs::default()
        })
    }

    /// A request to the node that is given up after the time that the caller wants to wait.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

fn required<T>(value: Option<T>, key: &str, flag: &str, variable: &str) -> Result<T, Failure> {
    value.ok_or_else(|| {
        Failure::Configuration(format!(
            "接続の設定 {key} がありません。--profile FILE に書くか、{flag} または環境変数 {variable} で指定してください / \
             missing connection setting: {key}"
        ))
    })
}

fn read(path: &Path) -> Result<ProfileFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::Configuration(format!(
            "プロファイル {} を読めません / can't read the profile: {error}",
            path.display()
        ))
    })?;
    let mut file: ProfileFile = toml::from_str(&text).map_err(|error| {
        Failure::Configuration(format!(
            "プロファイル {} に誤りがあります / the profile is wrong: {error}",
            path.display()
        ))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for inner in [&mut file.ca, &mut file.cert, &mut file.key]
        .into_iter()
        .flatten()
    {
        *inner = folder.join(&*inner);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{ConnectionArgs, Failure, Profile};

    fn profile(text: &str) -> (tempfile::TempDir, ConnectionArgs) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("staff.toml");
        std::fs::write(&path, text).unwrap();
        (
            folder,
            ConnectionArgs {
                profile: Some(path),
                ..ConnectionArgs::default()
            },
        )
    }

    const WHOLE: &str = r#"
        address = "node.example:7443"
        municipality_code = "142051"
        ca = "ca.pem"
        cert = "/etc/vrx/staff.pem"
        key = "staff.key"
    "#;

    #[test]
    fn a_profile_is_relative_to_itself_and_flags_win() {
        let (folder, mut args) = profile(WHOLE);
        args.address = Some("other.example:1".to_owned());
        let resolved = Profile::resolve(&args).unwrap();
        assert_eq!(resolved.address, "other.example:1");
        assert_eq!(resolved.server_name, "other.example");
        assert_eq!(resolved.ca, folder.path().join("ca.pem"));
        assert_eq!(resolved.cert, std::path::Path::new("/etc/vrx/staff.pem"));
    }

    #[test]
    fn a_missing_setting_is_named() {
        let Err(Failure::Configuration(text)) = Profile::resolve(&ConnectionArgs::default()) else {
            unreachable!("nothing was configured")
        };
        assert!(text.contains("address") && text.contains("VRX_ADDRESS"));
    }

    #[test]
    fn an_unknown_key_and_a_ward_are_refused() {
        let (_folder, args) = profile(&format!("{WHOLE}\npassword = \"x\""));
        assert_eq!(Profile::resolve(&args).unwrap_err().exit_code(), 64);
        let (_folder, args) = profile(&WHOLE.replace("142051", "141011"));
        assert_eq!(Profile::resolve(&args).unwrap_err().exit_code(), 64);
    }
}
