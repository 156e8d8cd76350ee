//! The bytes of one entry in the tree: always 134, so that no length tells one outcome from another.

use crate::error::LeafError;

/// One leaf, version 1. Encoded big-endian:
///
/// `version u8 = 1 | kind u8 | index u64 | time u64 | entry_id 16 | key_epoch u32 | c_subject 32 | c_actor 32 | c_content 32`
///
/// It says nothing about anybody by itself: who, why, what and the outcome are committed to by the three HMACs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Kind of entry: 1 exchange, 2 inquiry, 3 desk, 4 control, 5 erasure, 6 genesis. Unknown kinds decode, for later versions' sake.
    pub kind: u8,
    /// Place in the log, from 0.
    pub index: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z; never before the entry in front of it.
    pub time: u64,
    /// The node's own random id of the entry.
    pub entry_id: [u8; 16],
    /// Version of the log signing key at the time of the entry (the opening's envelope names its own key).
    pub key_epoch: u32,
    /// Commitment to the subject (本人) and the true cause.
    pub c_subject: [u8; 32],
    /// Commitment to the one who asked, and to all that it said.
    pub c_actor: [u8; 32],
    /// Commitment to what the one who asked was told.
    pub c_content: [u8; 32],
}

impl Leaf {
    /// Length of every encoded leaf.
    pub const LEN: usize = 134;
    /// The version this room writes and reads.
    pub const VERSION: u8 = 1;

    /// The leaf's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let parts: [&[u8]; 9] = [
            &[Self::VERSION],
            &[self.kind],
            &self.index.to_be_bytes(),
            &self.time.to_be_bytes(),
            &self.entry_id,
            &self.key_epoch.to_be_bytes(),
            &self.c_subject,
            &self.c_actor,
            &self.c_content,
        ];
        let mut rest = out.as_mut_slice();
        for part in parts {
            if let Some(slot) = rest.split_off_mut(..part.len()) {
                slot.copy_from_slice(part);
            }
        }
        out
    }

    /// Reads a leaf: exactly 134 bytes of version 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        if bytes.len() != Self::LEN {
            return Err(LeafError::Length(bytes.len()));
        }
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != Self::VERSION {
            return Err(LeafError::Version(version));
        }
        let [kind] = take(&mut rest)?;
        Ok(Self {
            kind,
            index: u64::from_be_bytes(take(&mut rest)?),
            time: u64::from_be_bytes(take(&mut rest)?),
            entry_id: take(&mut rest)?,
            key_epoch: u32::from_be_bytes(take(&mut rest)?),
            c_subject: take(&mut rest)?,
            c_actor: take(&mut rest)?,
            c_content: take(&mut rest)?,
        })
    }

    /// The leaf's hash in the tree.
    pub fn hash(&self) -> crate::Hash {
        crate::leaf_hash(&self.encode())
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], LeafError> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or(LeafError::Length(rest.len()))?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Leaf {
        Leaf {
            kind: 1,
            index: 0x0102_0304_0506_0708,
            time: 0x1112_1314_1516_1718,
            entry_id: [0x21; 16],
            key_epoch: 0x3132_3334,
            c_subject: [0x41; 32],
            c_actor: [0x42; 32],
            c_content: [0x43; 32],
        }
    }

    #[test]
    fn the_layout_is_fixed_to_the_byte() {
        let expected = format!(
            "0101{}{}{}{}{}{}{}",
            "0102030405060708",
            "1112131415161718",
            "21".repeat(16),
            "31323334",
            "41".repeat(32),
            "42".repeat(32),
            "43".repeat(32)
        );
        assert_eq!(hex::encode(sample().encode()), expected);
    }

    #[test]
    fn a_leaf_is_read_back() {
        assert_eq!(Leaf::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn other_lengths_and_versions_are_refused() {
        let mut bytes = sample().encode();
        assert_eq!(Leaf::decode(&bytes[..133]), Err(LeafError::Length(133)));
        assert_eq!(
            Leaf::decode(&[bytes.as_slice(), &[0]].concat()),
            Err(LeafError::Length(135))
        );
        bytes[0] = 2;
        assert_eq!(Leaf::decode(&bytes), Err(LeafError::Version(2)));
    }
}
