//! Finds PostgreSQL's server programs on this machine.
//!
//! Distributions keep `initdb` and `postgres` off the PATH and side by side per major version, so the
//! usual places are searched as well.

use super::PrivatePgError;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parent directory, how its entries of interest begin, and where the programs are below such an entry.
const USUAL_PLACES: [(&str, &str, &str); 11] = [
    ("/usr/lib/postgresql", "", "bin"),                      // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                               // packages of postgresql.org for Fedora, RHEL
    ("/usr/libexec", "postgresql", ""),                      // Alpine
    ("/usr/lib", "postgresql", "bin"),                       // openSUSE, Alpine
    ("/usr/lib64", "postgresql", "bin"),                     // Gentoo
    ("/usr/local", "pgsql", "bin"),                          // built from source
    ("/opt/homebrew/opt", "postgresql", "bin"),              // Homebrew, Apple silicon
    ("/usr/local/opt", "postgresql", "bin"),                 // Homebrew, Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"), // Homebrew, Linux
    ("/opt/local/lib", "postgresql", "bin"),                 // MacPorts
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"), // Postgres.app
];

/// One installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Its major version: the one thing that a data directory must match.
    pub major: u32,
    /// The directory that holds `initdb` and `postgres`.
    pub dir: PathBuf,
}

/// Every PostgreSQL installed here, newest first, one per major version; with `only`, just that directory.
pub(super) fn installed(only: Option<&Path>) -> Result<Vec<Programs>, PrivatePgError> {
    let dirs = match only {
        Some(dir) => vec![dir.to_path_buf()],
        None => path_dirs().chain(usual_dirs()).chain(pg_config_dir()).collect(),
    };
    let mut found: Vec<Programs> = dirs.into_iter().filter_map(programs_in).collect();
    // The sort is stable, so within a major version the first on the PATH wins.
    found.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    found.dedup_by_key(|programs| programs.major);
    if found.is_empty() {
        let searched = match only {
            Some(dir) => dir.display().to_string(),
            None => "PATH and the usual places".to_owned(),
        };
        return Err(PrivatePgError::NoPrograms { searched });
    }
    Ok(found)
}

/// The programs for a new cluster (the newest), or for one made by the major version `made_by`.
pub(super) fn pick(
    installed: &[Programs],
    made_by: Option<u32>,
    data: &Path,
) -> Result<Programs, PrivatePgError> {
    let wanted = |programs: &&Programs| made_by.is_none_or(|major| programs.major == major);
    installed.iter().find(wanted).cloned().ok_or_else(|| PrivatePgError::Version {
        data: data.to_path_buf(),
        made_by: made_by.unwrap_or_default(),
        installed: installed.iter().map(|p| p.major.to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn path_dirs() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A relative entry would mean whatever directory we happen to stand in.
    env::split_paths(&path).filter(|dir| dir.is_absolute()).collect::<Vec<_>>().into_iter()
}

fn usual_dirs() -> impl Iterator<Item = PathBuf> {
    USUAL_PLACES.into_iter().flat_map(|(parent, prefix, below)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(move |entry| entry.path().join(below))
    })
}

fn pg_config_dir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().into())
}

fn programs_in(dir: PathBuf) -> Option<Programs> {
    let postgres = dir.join("postgres");
    if !postgres.is_file() || !dir.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { major, dir })
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, the 18 of `... 18beta1`.
pub(super) fn major_version(line: &str) -> Option<u32> {
    let version = line.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
