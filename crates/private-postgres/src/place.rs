//! Where the cluster lives and as whom PostgreSQL runs.
//!
//! PostgreSQL refuses to run as root. Started as root we run it as `postgres` (or `nobody`), and then two
//! users share a directory tree, which is where root can be led astray: whoever may write to a directory
//! on the way can plant a link in it. So root uses the given directory only if the whole way to it is
//! writable by root alone (or sticky, as /tmp is) and passable for that user. Any other base, such as a
//! checkout in /root or in somebody's home, stands for a directory below `/var/lib/NAME-dev`, always the same one.

use super::PrivatePgError;
use nix::unistd::{Uid, User};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A socket's path holds 107 bytes on Linux and 103 on macOS; `/.s.PGSQL.5432` takes 15 of them.
const LONGEST_SOCKET_DIR: usize = 85;
/// No file that we read in PostgreSQL's directories is longer.
const SMALL_FILE: u64 = 4096;

/// The directories of one cluster, and the user who owns what PostgreSQL writes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Ours: lock, log, URL.
    pub home: PathBuf,
    /// PostgreSQL's: the cluster.
    pub data: PathBuf,
    /// PostgreSQL's: its socket.
    pub run: PathBuf,
    /// Whom to become; `None` when PostgreSQL can run as we are.
    pub user: Option<User>,
}

impl Place {
    /// The place that `base` stands for. Touches nothing, and answers alike for every command.
    pub(crate) fn of(name: &str, base: &Path) -> Result<Self, PrivatePgError> {
        let base = resolve(base).map_err(PrivatePgError::io("resolving", base))?;
        if Uid::effective().is_root() {
            let user = run_as(&["postgres", "nobody"])?;
            let fits = base.join("run").as_os_str().len() <= LONGEST_SOCKET_DIR;
            let home = if fits && safe_for_root(&base) { base } else { root_home(name, &base) };
            return Ok(Self::in_home(home, Some(user)));
        }
        let mut place = Self::in_home(base, None);
        if place.run.as_os_str().len() > LONGEST_SOCKET_DIR {
            // Not temp_dir(): TMPDIR may be long too.
            place.run =
                PathBuf::from(format!("/tmp/{name}-pg-{}-{:016x}", Uid::effective(), fnv(&place.home)));
        }
        Ok(place)
    }

    fn in_home(home: PathBuf, user: Option<User>) -> Self {
        Self { data: home.join("data"), run: home.join("run"), home, user }
    }

    /// Makes or checks our own directory.
    pub(crate) fn make_home(&self) -> Result<(), PrivatePgError> {
        if let Some(parent) = self.home.parent() {
            fs::create_dir_all(parent).map_err(PrivatePgError::io("creating", parent))?;
        }
        // The other user has to pass through, not to look around.
        let mode = if self.user.is_some() { 0o711 } else { 0o700 };
        own_dir(&self.home, None, mode)
    }

    /// Makes or checks a directory that PostgreSQL writes to.
    pub(crate) fn make_for_postgres(&self, dir: &Path) -> Result<(), PrivatePgError> {
        own_dir(dir, self.user.as_ref(), 0o700)
    }
}

/// The first of these users that exists.
fn run_as(names: &[&str]) -> Result<User, PrivatePgError> {
    names.iter().find_map(|name| User::from_name(name).ok().flatten()).ok_or(PrivatePgError::NoUser)
}

/// The real path of `path`, whose last parts need not exist yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    let mut existing = whole.as_path();
    let mut missing = Vec::new();
    loop {
        match existing.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, name| path.join(name))),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Err(e) => match (existing.file_name(), existing.parent()) {
                (Some(name), Some(parent)) => {
                    missing.push(name);
                    existing = parent;
                }
                _ => return Err(e),
            },
        }
    }
}

/// Whether every directory down to `base` (a real path) is root's alone and passable for others.
fn safe_for_root(base: &Path) -> bool {
    base.ancestors().all(|dir| {
        let Ok(meta) = fs::symlink_metadata(dir) else { return true }; // not there yet: root will make it
        let roots_alone = meta.mode() & 0o022 == 0 || (dir != base && meta.mode() & 0o1000 != 0);
        meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o001 != 0 && roots_alone
    })
}

fn root_home(name: &str, base: &Path) -> PathBuf {
    Path::new("/var/lib").join(format!("{name}-dev")).join(format!("{:016x}", fnv(base)))
}

/// FNV-1a: a name that stays the same over versions of Rust, which its own hasher does not promise.
fn fnv(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Makes `dir` for `user` (or ourselves), or checks that it is theirs and that nobody else can write to it.
/// Never follows a link.
pub(super) fn own_dir(dir: &Path, user: Option<&User>, mode: u32) -> Result<(), PrivatePgError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            if let Some(user) = user {
                chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .map_err(PrivatePgError::io("giving away", dir))?;
            }
            fs::set_permissions(dir, Permissions::from_mode(mode))
                .map_err(PrivatePgError::io("setting the mode of", dir))
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => check_dir(dir, user),
        Err(e) => Err(PrivatePgError::io("creating", dir)(e)),
    }
}

fn check_dir(dir: &Path, user: Option<&User>) -> Result<(), PrivatePgError> {
    let meta = fs::symlink_metadata(dir).map_err(PrivatePgError::io("looking at", dir))?;
    let owner = user.map_or(Uid::effective(), |user| user.uid);
    let problem = if !meta.is_dir() {
        "is not a directory".to_owned()
    } else if meta.uid() != owner.as_raw() {
        format!("belongs to uid {}, not to uid {owner}", meta.uid())
    } else if meta.mode() & 0o022 != 0 {
        "can be written to by other users".to_owned()
    } else {
        return Ok(());
    };
    Err(PrivatePgError::NotOurs { path: dir.to_path_buf(), problem })
}

/// Reads a small file of PostgreSQL's. The other user may have put anything in its place: a link is not
/// followed, a pipe not waited for.
pub(super) fn read_small(path: &Path) -> io::Result<String> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a plain file"));
    }
    let mut text = String::new();
    file.take(SMALL_FILE).read_to_string(&mut text)?;
    Ok(text)
}
