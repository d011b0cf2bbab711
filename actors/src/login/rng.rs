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
    use doorcode_domain::{Alphabet, ChallengeId, LoginCode, MacKey};
    use rand_core::Rng;
    use zeroize::Zeroizing;

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

    /// A2: codes of many generators at once, as issuers have them, fill 100 bins evenly: chi-square below 175, which a fair
    /// draw exceeds once in 200,000 times; and none has the codes of another.
    #[test]
    fn a2_codes_of_many_issuers_are_flat_and_unlike() {
        let key = MacKey::new(&Zeroizing::new(vec![7; MacKey::BYTES])).unwrap();
        let codes = || {
            let mut rng = SecretRng::new().unwrap();
            let code = |_| {
                let challenge = ChallengeId::random(rng.draw().unwrap());
                let code = LoginCode::derive(&key, challenge, Alphabet::Digits);
                code.reveal().parse::<usize>().unwrap()
            };
            (0..200).map(code).collect::<Vec<_>>()
        };
        let all: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..500).map(|_| scope.spawn(codes)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut bins = [0_u32; 100];
        all.iter().flatten().for_each(|code| bins[code / 10_000] += 1);
        let chi: f64 = bins.iter().map(|count| (f64::from(*count) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi < 175.0, "{chi}");
        let unlike: std::collections::HashSet<&[usize]> = all.iter().map(|codes| &codes[..4]).collect();
        assert_eq!(unlike.len(), all.len());
    }
}
