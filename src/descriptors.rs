//! How many files and sockets this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For what is neither a public connection nor counted: both listeners, the log, files that are read, the runtime's own.
const OTHERS: usize = 64;

/// Raises the limit to the hardest that is allowed, and returns it. Systems start processes with 1,024, which is the
/// limit for programs that use `select`; ours is none.
pub(crate) fn raise_limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1_024 };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The public connections that fit: `wanted`, or what is left beside `reserved` for everybody else, so that the ops listener
/// and the database are never out of descriptors because of callers.
pub(crate) fn fitting(limit: usize, reserved: usize, wanted: usize) -> usize {
    wanted.min(limit.saturating_sub(reserved + OTHERS)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let limit = raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, limit as u64), (hard, hard));
    }

    #[test]
    fn callers_get_what_is_left() {
        assert_eq!(fitting(1_048_576, 300, 10_000), 10_000);
        assert_eq!(fitting(1_024, 300, 10_000), 660);
        assert_eq!(fitting(100, 300, 10_000), 1);
    }
}
