//! Where challenge ids come from: ChaCha20 (RFC 8439), seeded from the operating system.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Duration;
use tokio::time::Instant;

/// Draws from one seed.
const DRAWS: u32 = 1_024;
/// Life of a seed: what leaks with a memory image reaches one minute ahead at most.
const LIFE: Duration = Duration::from_secs(60);

/// A generator that reseeds itself.
pub(crate) struct SecretRng {
    inner: ChaCha20Rng,
    left: u32,
    since: Instant,
}

impl SecretRng {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let inner = ChaCha20Rng::try_from_rng(&mut getrandom::SysRng)?;
        Ok(Self { inner, left: DRAWS, since: Instant::now() })
    }

    /// The generator, for one draw.
    pub(crate) fn draw(&mut self) -> Result<&mut ChaCha20Rng, getrandom::Error> {
        if self.left == 0 || self.since.elapsed() >= LIFE {
            *self = Self::new()?;
        }
        self.left -= 1;
        Ok(&mut self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    /// A2: nothing repeats across reseeds and generators.
    #[test]
    fn reseeds_and_never_repeats() {
        let (mut a, mut b) = (SecretRng::new().unwrap(), SecretRng::new().unwrap());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 * DRAWS {
            assert!(seen.insert(a.draw().unwrap().next_u64()) && seen.insert(b.draw().unwrap().next_u64()));
        }
        assert!(a.left < DRAWS);
    }
}
