//! The private PostgreSQL against a real one: what it makes, where, and what it refuses.

#[cfg(target_os = "linux")]
mod faults;
mod support;

use super::find::{Programs, major_version, pick};
use super::{Options, PrivatePgError, PrivatePostgres};

/// Of all clusters of these tests.
pub(super) const NAME: &str = "privatepg";
use nix::unistd::Uid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use support::{Scratch, boots, processes_in, until};

#[tokio::test]
async fn starts_fresh_then_keeps_its_rows() {
    let scratch = Scratch::new("keeps");
    let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 1);
    postgres.stop().await.unwrap();
    assert_eq!(processes_in(&scratch.base), Vec::<i32>::new());

    let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 2);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn others_find_it_while_it_runs() {
    let scratch = Scratch::new("found");
    assert_eq!(PrivatePostgres::running_url(NAME, &scratch.base).unwrap(), None);
    let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    let found = PrivatePostgres::running_url(NAME, &scratch.base).unwrap();
    assert_eq!(found.as_deref(), Some(&*postgres.url()));
    assert_eq!(fs::metadata(scratch.base.join("url")).unwrap().mode() & 0o777, 0o600);
    let home = postgres.home().to_path_buf();
    drop(postgres);
    until("dropping it ends it", || processes_in(&home).is_empty()).await;
    assert!(home.join("url").exists(), "nobody was there to remove it");
    assert_eq!(PrivatePostgres::running_url(NAME, &scratch.base).unwrap(), None);
}

#[tokio::test]
async fn restart_keeps_the_url() {
    let scratch = Scratch::new("restart");
    let mut postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 1);
    postgres.restart().await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 2);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn settings_win_and_a_bad_one_shows_the_log() {
    let scratch = Scratch::new("settings");
    let settings = vec!["max_connections=9".to_owned()];
    let options = Options { settings, ..Options::new(NAME, &scratch.base) };
    let postgres = PrivatePostgres::start(options).await.unwrap();
    assert_eq!(support::show(&postgres.url(), "max_connections").await, "9");
    assert_eq!(support::show(&postgres.url(), "fsync").await, "on");
    assert_eq!(support::show(&postgres.url(), "listen_addresses").await, "");
    postgres.stop().await.unwrap();

    let settings = vec!["max_connections=many".to_owned()];
    let options = Options { settings, ..Options::new(NAME, &scratch.base) };
    let error = PrivatePostgres::start(options).await.unwrap_err();
    assert!(matches!(error, PrivatePgError::Start { .. }), "{error:?}");
    assert!(error.to_string().contains("invalid value for parameter \"max_connections\""), "{error}");
}

#[tokio::test]
async fn a_throwaway_goes_without_a_trace() {
    let postgres = PrivatePostgres::start(Options::throwaway(NAME).unwrap()).await.unwrap();
    assert_eq!(support::show(&postgres.url(), "fsync").await, "off");
    let home = postgres.home().to_path_buf();
    postgres.stop().await.unwrap();
    assert!(!home.exists());
}

#[tokio::test]
async fn one_directory_serves_one_at_a_time() {
    let scratch = Scratch::new("two");
    let first = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    let error = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap_err();
    let message = error.to_string();
    let expected = format!("in use by another process (pid {})", std::process::id());
    assert!(message.contains(&expected) && message.contains("--data-dir"), "{message}");
    assert_eq!(boots(&first.url()).await, 1, "the first is unharmed");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn without_programs_it_says_what_to_install() {
    let scratch = Scratch::new("none");
    let empty = scratch.base.with_extension("bin");
    fs::create_dir(&empty).unwrap();
    let options = Options { bin_dir: Some(empty.clone()), ..Options::new(NAME, &scratch.base) };
    let message = PrivatePostgres::start(options).await.unwrap_err().to_string();
    for expected in ["apt-get install -y postgresql", "dnf", "brew", "apk", "pacman", "DATABASE_URL"] {
        assert!(message.contains(expected), "{expected} is missing in {message}");
    }
    assert!(!scratch.base.exists(), "nothing was made");
    fs::remove_dir(empty).unwrap();
}

#[tokio::test]
async fn a_long_and_odd_path_works() {
    let scratch = Scratch::new(&format!("long {} 100% ü?&=", "x".repeat(100)));
    let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 1);
    let found = PrivatePostgres::running_url(NAME, &scratch.base).unwrap();
    assert_eq!(found.as_deref(), Some(&*postgres.url()));
    let home = postgres.home().to_path_buf();
    postgres.stop().await.unwrap();
    scratch.also_remove(&home);
}

#[tokio::test]
async fn a_short_odd_path_works() {
    let scratch = Scratch::new("a b%+'ü");
    let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, 1);
    assert_eq!(postgres.home(), scratch.base);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_failed_initdb_leaves_nothing() {
    let scratch = Scratch::new("initdb");
    let programs = scratch.base.with_extension("bin");
    fs::create_dir(&programs).unwrap();
    let script = |name: &str, text: &str| {
        fs::write(programs.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(programs.join(name), Permissions::from_mode(0o755)).unwrap();
    };
    script("postgres", "echo 'postgres (PostgreSQL) 99.1'");
    script("initdb", "echo 'no space left for you' >&2; exit 1");
    let options = Options { bin_dir: Some(programs.clone()), ..Options::new(NAME, &scratch.base) };
    let message = PrivatePostgres::start(options).await.unwrap_err().to_string();
    assert!(message.contains("no space left for you"), "{message}");
    let left = fs::read_dir(&scratch.base).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left, ["lock"]);
    fs::remove_dir_all(programs).unwrap();
}

#[tokio::test]
async fn what_others_can_write_to_is_refused() {
    if Uid::effective().is_root() {
        return; // root goes elsewhere, see below
    }
    let scratch = Scratch::new("open");
    fs::create_dir(&scratch.base).unwrap();
    fs::set_permissions(&scratch.base, Permissions::from_mode(0o777)).unwrap();
    let error = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap_err();
    assert!(error.to_string().contains("can be written to by other users"), "{error}");
    let error = PrivatePostgres::start(Options::new(NAME, "/usr")).await.unwrap_err();
    assert!(error.to_string().contains("belongs to uid 0"), "{error}");
}

#[tokio::test]
async fn root_moves_what_postgres_cannot_reach_or_others_control() {
    if !Uid::effective().is_root() {
        return;
    }
    let scratch = Scratch::new("moved");
    fs::create_dir(&scratch.base).unwrap();
    for mode in [0o700, 0o777] {
        fs::set_permissions(&scratch.base, Permissions::from_mode(mode)).unwrap();
        let base = scratch.base.join(format!("sub/{mode:o}"));
        let options = Options { throwaway: true, ..Options::new(NAME, &base) }; // the disk there may be slow
        let postgres = PrivatePostgres::start(options).await.unwrap();
        let home = postgres.home().to_path_buf();
        assert!(home.starts_with("/var/lib/privatepg-dev"), "{}", home.display());
        assert!(!base.exists());
        assert_eq!(boots(&postgres.url()).await, 1);
        assert_eq!(PrivatePostgres::running_url(NAME, &base).unwrap(), Some(postgres.url()));
        postgres.stop().await.unwrap();
        scratch.also_remove(&home);
    }
}

#[tokio::test]
async fn a_planted_link_is_not_followed() {
    let scratch = Scratch::new("planted");
    let prey = scratch.base.with_extension("prey");
    fs::create_dir(&prey).unwrap();
    fs::write(prey.join("precious"), "").unwrap();
    for name in ["data", "run"] {
        let postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
        postgres.stop().await.unwrap();
        let dir = scratch.base.join(name);
        fs::remove_dir_all(&dir).unwrap();
        symlink(&prey, &dir).unwrap();
        let error = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap_err();
        assert!(error.to_string().contains("is not a directory"), "{error}");
        assert!(prey.join("precious").exists());
        fs::remove_file(&dir).unwrap();
    }
    fs::remove_dir_all(prey).unwrap();
}

#[test]
fn versions_are_read_and_matched() {
    assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
    assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
    assert_eq!(major_version("Permission denied"), None);

    let installed = [17, 15].map(|major| Programs { major, dir: format!("/pg/{major}").into() });
    let data = Path::new("/somewhere/data");
    assert_eq!(pick(&installed, None, data).unwrap().major, 17);
    assert_eq!(pick(&installed, Some(15), data).unwrap().major, 15);
    let message = pick(&installed, Some(14), data).unwrap_err().to_string();
    assert!(message.contains("made by PostgreSQL 14, but installed here: 17, 15"), "{message}");
}
