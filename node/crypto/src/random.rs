//! Randomness of the operating system.

use parking_lot::Mutex;
use ring::rand::SecureRandom;
use vrx_domain::Random;
use zeroize::{Zeroize, Zeroizing};

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

/// Randomness drawn from a source many bytes at once: a system call for many nonces instead of one each. Made for one piece of work and
/// dropped with it; no byte is given out twice, and what is left is wiped.
pub struct Drawn<'a> {
    source: &'a dyn Random,
    at_once: usize,
    /// Bytes not given out yet.
    left: Mutex<Zeroizing<Vec<u8>>>,
}

impl<'a> Drawn<'a> {
    /// Draws `at_once` bytes whenever there are too few.
    pub fn new(source: &'a dyn Random, at_once: usize) -> Self {
        Self {
            source,
            at_once,
            left: Mutex::default(),
        }
    }
}

impl Random for Drawn<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > self.at_once {
            return self.source.fill(bytes);
        }
        let mut left = self.left.lock();
        if left.len() < bytes.len() {
            // Its capacity comes with the first draw and stays: nothing of it is left behind in freed memory.
            left.resize(self.at_once, 0);
            self.source.fill(&mut left);
        }
        let keep = left.len().saturating_sub(bytes.len());
        if let Some(drawn) = left.get_mut(keep..) {
            bytes.copy_from_slice(drawn);
            drawn.zeroize();
        }
        left.truncate(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Mutex<u8>);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *self.0.lock() += 1;
                *byte = *self.0.lock();
            }
        }
    }

    #[test]
    fn no_random_byte_is_given_out_twice_and_the_source_is_asked_when_too_few_are_left() {
        let source = Counting(Mutex::new(0));
        let drawn = Drawn::new(&source, 10);
        let mut seen = Vec::new();
        for len in [4, 5, 3, 1, 7, 11, 10] {
            let mut bytes = vec![0; len];
            drawn.fill(&mut bytes);
            assert!(bytes.iter().all(|byte| *byte > 0));
            seen.extend(bytes);
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn two_fills_differ() {
        let (mut first, mut second) = ([0u8; 32], [0u8; 32]);
        SystemRandom::new().fill(&mut first);
        SystemRandom::new().fill(&mut second);
        assert_ne!(first, second);
    }
}
