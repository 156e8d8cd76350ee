//! `vrx verify inclusion` and `consistency`: RFC 6962's two proofs, from numbers and hashes on the command line.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use vrx_tlog::{Hash, parse_decimal, parse_hash, verify_consistency, verify_inclusion};

use super::{Stop, Verdict};

/// A proof that a leaf stands in a tree.
#[derive(clap::Args, Debug)]
pub(crate) struct InclusionArgs {
    /// 葉の番号 (0 から) / the leaf's index, from 0
    #[arg(long, value_name = "N", value_parser = number)]
    index: u64,
    /// 木の葉の数 / the tree's size
    #[arg(long, value_name = "N", value_parser = number)]
    size: u64,
    /// 葉のハッシュ (base64) / the leaf's hash
    #[arg(long, value_name = "B64", value_parser = hash)]
    leaf_hash: Hash,
    /// 木のルート (base64) / the tree's root
    #[arg(long, value_name = "B64", value_parser = hash)]
    root: Hash,
    /// 証明のハッシュ。葉の隣から順に繰り返す / the proof's hashes, from the leaf's sibling up
    #[arg(long = "proof", value_name = "B64", value_parser = hash)]
    proof: Vec<Hash>,
}

/// A proof that a tree continues another.
#[derive(clap::Args, Debug)]
pub(crate) struct ConsistencyArgs {
    /// 古い木の葉の数 / the older tree's size
    #[arg(long, value_name = "N", value_parser = number)]
    old_size: u64,
    /// 新しい木の葉の数 / the newer tree's size
    #[arg(long, value_name = "N", value_parser = number)]
    new_size: u64,
    /// 古い木のルート (base64) / the older tree's root
    #[arg(long, value_name = "B64", value_parser = hash)]
    old_root: Hash,
    /// 新しい木のルート (base64) / the newer tree's root
    #[arg(long, value_name = "B64", value_parser = hash)]
    new_root: Hash,
    /// 証明のハッシュ。順に繰り返す / the proof's hashes, in their order
    #[arg(long = "proof", value_name = "B64", value_parser = hash)]
    proof: Vec<Hash>,
}

/// Checks an inclusion proof.
pub(super) fn inclusion(args: &InclusionArgs) -> Result<Verdict, Stop> {
    let InclusionArgs { index, size, .. } = args;
    verify_inclusion(*index, *size, &args.leaf_hash, &args.proof, &args.root).map_err(|error| {
        Stop::NotProved(
            "この番号・件数・葉・ルートには、この証明は成り立ちません",
            error.to_string(),
        )
    })?;
    let root = STANDARD.encode(args.root);
    Ok(Verdict {
        proved: (
            format!("この葉は、{size} 件・ルート {root} の木の {index} 番にあります"),
            format!(
                "the leaf stands at index {index} of the tree of {size} leaves with root {root}"
            ),
        ),
        open: (
            "そのルートを誰が認めたか、木がちょうどその件数か（同じ証明が成り立つ件数はほかにもあり得ます。件数とルートを結びつけるのは、署名された \
             checkpoint だけです。vrx verify checkpoint で分かります）",
            "who stands for that root, and that its tree has just that size: the proof may hold for other sizes too, only a signed \
             checkpoint binds size and root (vrx verify checkpoint)",
        ),
        details: json!({ "index": index, "size": size, "root": root }),
        fields: Vec::new(),
    })
}

/// Checks a consistency proof.
pub(super) fn consistency(args: &ConsistencyArgs) -> Result<Verdict, Stop> {
    let ConsistencyArgs {
        old_size, new_size, ..
    } = args;
    verify_consistency(
        *old_size,
        *new_size,
        &args.old_root,
        &args.new_root,
        &args.proof,
    )
    .map_err(|error| {
        Stop::NotProved(
            "この2つの木には、この証明は成り立ちません",
            error.to_string(),
        )
    })?;
    let (old, new) = (
        STANDARD.encode(args.old_root),
        STANDARD.encode(args.new_root),
    );
    Ok(Verdict {
        proved: (
            format!(
                "{new_size} 件・ルート {new} の木の初めの {old_size} 件は、ルート {old} の木そのものです"
            ),
            format!(
                "the tree of {new_size} leaves with root {new} begins with the tree of {old_size} leaves with root {old}"
            ),
        ),
        open: (
            "2つのルートを誰が認めたか、木がちょうどその件数か（同じ証明が成り立つ件数はほかにもあり得ます。件数とルートを結びつけるのは、署名された \
             checkpoint だけです。vrx verify checkpoint で分かります）",
            "who stands for the two roots, and that their trees have just those sizes: the proof may hold for other sizes too, only a signed \
             checkpoint binds size and root (vrx verify checkpoint)",
        ),
        details: json!({ "old_size": old_size, "new_size": new_size, "old_root": old, "new_root": new }),
        fields: Vec::new(),
    })
}

/// An argument that is a number: decimal, without sign and leading zeros.
fn number(text: &str) -> Result<u64, &'static str> {
    parse_decimal(text)
        .ok_or("先頭に0のない10進数 (0 から 2^64-1) / a decimal without leading zeros")
}

/// An argument that counts something at hand, written the same way.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    number(text)?
        .try_into()
        .map_err(|_| "大きすぎます / too large")
}

/// An argument that is a hash.
pub(super) fn hash(text: &str) -> Result<Hash, &'static str> {
    parse_hash(text).ok_or("32バイトの base64 / 32 bytes in base64")
}
