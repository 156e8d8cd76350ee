//! 32 secret bytes.

use vrx_domain::Random;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A symmetric key of 32 bytes, on the heap so that moving it leaves no copy behind, wiped when dropped.
///
/// It can't be printed:
/// ```compile_fail
/// fn print(key: &vrx_crypto::SecretKey) { println!("{key:?}"); }
/// ```
/// ```compile_fail
/// fn print(key: &vrx_crypto::SecretKey) { println!("{key}"); }
/// ```
/// and can't be copied by accident:
/// ```compile_fail
/// fn copy(key: &vrx_crypto::SecretKey) -> vrx_crypto::SecretKey { key.clone() }
/// ```
/// ```
/// fn borrow(key: &vrx_crypto::SecretKey) -> &[u8; 32] { key.expose() }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(Box<[u8; 32]>);

impl SecretKey {
    /// A new random key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = Box::new([0u8; 32]);
        random.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Takes the bytes over; the source is wiped when it goes out of scope.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taking the bytes over is the point: the caller keeps no copy"
    )]
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut own = Box::new([0u8; 32]);
        own.copy_from_slice(bytes.as_slice());
        Self(own)
    }

    /// The bytes, for the one who feeds them to a cipher.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}
