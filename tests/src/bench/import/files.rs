//! Files of invented residents and doses, made while they are sent: no file of them stands anywhere.

use std::fmt::Write as _;

use anyhow::Context;
use tokio::sync::mpsc;
use vrx_domain::IndividualNumber;
use vrx_proto::v1::{self, import_request::Part};

use crate::demo::FUJISAWA;

/// Doses a resident.
pub(super) const DOSES: u64 = 3;
/// Groups of columns in the ledger.
const GROUPS: u64 = 5;
/// Bytes of one message.
const PIECE: usize = 64 * 1024;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Residents, one a row.
    Persons,
    /// Their doses, one resident a row.
    Doses,
}

impl File {
    /// Rows of the register in the file: residents or doses.
    pub(super) const fn rows(self, persons: u64) -> u64 {
        match self {
            Self::Persons => persons,
            Self::Doses => persons * DOSES,
        }
    }

    fn header(self) -> String {
        match self {
            Self::Persons => {
                "個人番号,宛名番号,漢字氏名,カナ氏名,生年月日,性別,住所,住民となった日,住民でなくなった日,支援措置開始日,支援措置終了日\r\n"
                    .to_owned()
            }
            Self::Doses => {
                let mut header = "個別宛名番号(空欄)".to_owned();
                for group in 1..=GROUPS {
                    for column in [
                        "接種履歴登録日時",
                        "接種日",
                        "券番号",
                        "接種自治体コード",
                        "接種会場名",
                        "接種医師名",
                        "ワクチンメーカー",
                        "ワクチンロット番号",
                    ] {
                        // Writing into a string can't fail.
                        let _ = write!(header, ",{group}回目{column}");
                    }
                }
                header + "\r\n"
            }
        }
    }

    fn row(self, out: &mut String, nth: u64) -> anyhow::Result<()> {
        match self {
            Self::Persons => write!(
                out,
                "{},B{nth:09},見本　太郎{},ミホン　タロウ,19800229,2,藤沢市朝日町一丁目{}番地の１,20010401,,,\r\n",
                number(nth)?,
                nth % 97,
                nth % 31,
            )?,
            Self::Doses => {
                write!(out, "B{nth:09}")?;
                for dose in 1..=DOSES {
                    write!(
                        out,
                        ",2021{month:02}01101500,2021{month:02}01,{nth:010},{FUJISAWA},市民会館,医師　花子,ファイザー,EW{lot:04}",
                        month = 4 + dose,
                        lot = nth % 9_973,
                    )?;
                }
                for _ in DOSES..GROUPS {
                    out.push_str(",,,,,,,,");
                }
                out.push_str("\r\n");
            }
        }
        Ok(())
    }
}

/// Sends the file of `persons` residents, in messages; the receiver stops it by going away.
pub(super) fn send(
    file: File,
    persons: u64,
    out: &mpsc::Sender<v1::ImportRequest>,
) -> anyhow::Result<()> {
    let header = v1::ImportHeader {
        municipality_code: FUJISAWA.to_owned(),
        encoding: v1::Encoding::Utf8.into(),
        ..Default::default()
    };
    let message = |part| v1::ImportRequest { part: Some(part) };
    let gone = "the import ended before its file";
    out.blocking_send(message(Part::Header(header)))
        .context(gone)?;
    let mut piece = file.header();
    for nth in 0..persons {
        file.row(&mut piece, nth)?;
        if piece.len() >= PIECE {
            let full = std::mem::take(&mut piece).into_bytes();
            out.blocking_send(message(Part::Chunk(full)))
                .context(gone)?;
        }
    }
    out.blocking_send(message(Part::Chunk(piece.into_bytes())))
        .context(gone)
}

fn number(nth: u64) -> anyhow::Result<String> {
    let payload = format!("{:011}", 10_000_000_000 + nth);
    let digits: [u8; 11] = payload.as_bytes().try_into()?;
    let check = IndividualNumber::check_digit(&digits).context("eleven digits")?;
    Ok(format!("{payload}{}", char::from(check)))
}
