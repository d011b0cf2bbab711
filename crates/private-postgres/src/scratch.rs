//! Directories for throwaway clusters.
//!
//! A test program has no good moment to clean up: it may end by a failed assertion or a kill. So each run
//! removes what earlier runs left, told apart from running ones by the lock.

use super::PrivatePgError;
use super::place::own_dir;
use nix::unistd::Uid;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A cluster takes about 40 MB, each test's database 8 MB more. Containers often give /dev/shm 64 MB only.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
const ENOUGH: u64 = 1 << 30;
/// A younger lock may be one that its maker has opened, but not locked yet.
const OLD_ENOUGH: Duration = Duration::from_secs(60);

/// A directory name that nobody uses, after removing those that nobody uses any more.
pub(super) fn new_base(name: &str) -> Result<PathBuf, PrivatePgError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let family = parent().join(format!("{name}-test-{}", Uid::effective()));
    own_dir(&family, None, 0o711)?;
    for entry in fs::read_dir(&family).into_iter().flatten().flatten() {
        remove_unused(&entry.path());
    }
    Ok(family.join(format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))))
}

fn parent() -> PathBuf {
    memory().unwrap_or_else(env::temp_dir)
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn memory() -> Option<PathBuf> {
    let dir = std::path::Path::new("/dev/shm");
    let room = nix::sys::statvfs::statvfs(dir).map_or(0, |fs| fs.fragment_size() * fs.blocks_available());
    let writable = nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_ok();
    (writable && room >= ENOUGH).then(|| dir.to_path_buf())
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn memory() -> Option<PathBuf> {
    None
}

/// Removes the directory of an ended run. One without a lock file is about to get one.
fn remove_unused(dir: &Path) {
    let Ok(lock) = File::open(dir.join("lock")) else { return };
    let age = lock.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_some_and(|age| age > OLD_ENOUGH) && lock.try_lock().is_ok() {
        let _next_time = fs::remove_dir_all(dir);
    }
}
