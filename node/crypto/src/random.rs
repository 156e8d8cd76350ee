//! Randomness of the operating system.

use ring::rand::SecureRandom;
use vrx_domain::Random;

/// The operating system's random numbers. Keys, nonces, ids and salts of a serving node come from here and nowhere else.
pub struct SystemRandom {
    source: ring::rand::SystemRandom,
}

impl SystemRandom {
    /// A handle; it has no state of its own.
    pub fn new() -> Self {
        Self {
            source: ring::rand::SystemRandom::new(),
        }
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if self.source.fill(bytes).is_err() {
            // A nonce or a key that isn't random is worse than a node that is down.
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fills_differ() {
        let (mut first, mut second) = ([0u8; 32], [0u8; 32]);
        SystemRandom::new().fill(&mut first);
        SystemRandom::new().fill(&mut second);
        assert_ne!(first, second);
    }
}
