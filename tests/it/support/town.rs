//! A PostgreSQL of a test's own whose disk can be filled up and whose clock can be put ahead and back.

use super::postgres::{ACME, GLOBEX, connect};
use super::process::{Scratch, Setup};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; unmounted when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where we may not mount (only root may), loudly.
    #[expect(clippy::explicit_write, reason = "what a test that passes prints by eprintln is not shown")]
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        // as a directory of PostgreSQL's that root makes
        let options = format!("size={mib}m,mode=0711");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Some(Self(at.to_owned())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        writeln!(std::io::stderr(), "*** SKIPPED: a full disk, for none can be mounted here: {why} ***")
            .unwrap();
        None
    }

    /// To the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let piece = vec![0; 64 * 1024];
        while ballast.write_all(&piece).is_ok() {}
    }

    /// What [`fill`](Self::fill) wrote goes.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: a PostgreSQL that is on its way out may still use it
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills a PostgreSQL with acme, its customers and globex, made by the command line.
pub(crate) async fn town(url: &str, customers: usize, scratch: &Scratch) {
    let file = scratch.path().join("customers.csv");
    let emails = (0..customers).map(|n| format!("user{n}@example.com\n")).collect::<String>();
    std::fs::write(&file, format!("email\n{emails}")).unwrap();
    let file = file.display().to_string();
    let commands: [&[&str]; 4] = [
        &["migrate"],
        &["tenant", "add", ACME, "--name", "Acme"],
        &["tenant", "add", GLOBEX, "--name", "Globex"],
        &["customer", "import", ACME, &file],
    ];
    for words in commands {
        let done = Setup::of(words).set("DATABASE_URL", url).master_key().run().await;
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let admin = connect(url).await;
    admin.batch_execute("CREATE SCHEMA stepped").await.unwrap();
    put_clock(url, 0).await;
    // what doorcode calls is found there before PostgreSQL's own
    admin
        .batch_execute("ALTER DATABASE doorcode SET search_path = stepped, pg_catalog, public")
        .await
        .unwrap();
}

/// From now on every statement reads a clock that is ahead of the machine's by so much.
pub(crate) async fn put_clock(url: &str, ahead_s: i32) {
    let body = format!("SELECT pg_catalog.clock_timestamp() + make_interval(secs => {ahead_s})");
    let function = format!(
        "CREATE OR REPLACE FUNCTION stepped.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS '{body}'"
    );
    connect(url).await.batch_execute(&function).await.unwrap();
}
