//! What `doorcode dev` has that `serve` has not: a data directory with a key of its own, and a demo tenant.

use crate::commands::CommandError;
use crate::config::MasterKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorcode_actors::directory::{DirectoryError, NewTenant, ReturnUrl, StepUp, TenantChange};
use doorcode_actors::{DatabaseUrl, Directory};
use doorcode_domain::TenantId;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Names the private PostgreSQL: its database, superuser and directories.
pub(crate) const NAME: &str = "doorcode";
/// The demo tenant and who may log in there.
pub(crate) const DEMO_TENANT: &str = "demo";
/// The same for everybody, so that examples can name it.
const DEMO_TENANT_ID: TenantId = TenantId(Uuid::from_u128(0xd0c0_de00_0000_4000_8000_0000_0000_0001));
/// See [`DEMO_TENANT`].
pub(crate) const DEMO_CUSTOMERS: [&str; 2] = ["ada@example.com", "grace@example.com"];

/// Where `dev` keeps what it keeps: as told, or `.doorcode/` beside the current folder's Cargo.toml, or else in the
/// user's data folder.
pub(crate) fn data_dir(told: Option<&Path>) -> Result<PathBuf, CommandError> {
    if let Some(told) = told {
        return Ok(std::path::absolute(told)?);
    }
    let here = std::env::current_dir()?;
    if here.join("Cargo.toml").is_file() {
        return Ok(here.join(".doorcode"));
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data.or_else(home).map(|data| data.join("doorcode")).ok_or_else(|| {
        CommandError::failed(
            "there is no place for data: neither XDG_DATA_HOME nor HOME is set",
            "give --data-dir DIR",
        )
    })
}

/// The private PostgreSQL's address.
pub(crate) fn database_url(url: &str) -> Result<DatabaseUrl, CommandError> {
    url.parse().map_err(|error: &str| CommandError::failed(error, ""))
}

/// The key that wraps the dev database's keys; made once. As text, so that `master_key.file` takes it too; 32 bytes as they
/// are in a folder of an earlier version.
pub(crate) fn master_key(home: &Path) -> Result<MasterKey, CommandError> {
    let path = home.join("master.key");
    match fs::read(&path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let raw = <[u8; 32]>::try_from(bytes.as_slice()).map(|key| MasterKey::new(Zeroizing::new(key)));
            let text = || std::str::from_utf8(&bytes).ok().and_then(MasterKey::parse);
            raw.ok().or_else(text).ok_or_else(|| {
                CommandError::failed(
                    format!("{} is damaged: its {} bytes are no key", path.display(), bytes.len()),
                    format!("remove {} to start anew", home.display()),
                )
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_master_key(home, &path),
        Err(error) => Err(error.into()),
    }
}

/// Written beside and renamed, so that a killed start leaves no half of a key.
fn make_master_key(home: &Path, path: &Path) -> Result<MasterKey, CommandError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..])
        .map_err(|error| CommandError::failed(format!("no random numbers: {error}"), ""))?;
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    let text = Zeroizing::new(STANDARD.encode(&key[..]));
    file.write_all(format!("{}\n", *text).as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(MasterKey::new(key))
}

/// Where front ends are developed: any page there may use the demo tenant's cookies, and the hosted page goes back there.
const DEMO_ORIGINS: [&str; 5] = [
    "http://localhost:3000",
    "http://localhost:5173",
    "http://localhost:8000",
    "http://127.0.0.1:3000",
    "http://127.0.0.1:8000",
];

fn demo_urls() -> Vec<ReturnUrl> {
    DEMO_ORIGINS.iter().filter_map(|origin| format!("{origin}/callback").parse().ok()).collect()
}

/// Makes the demo tenant and its customers where they are missing.
pub(crate) async fn make_demo(directory: &Directory) -> Result<(), DirectoryError> {
    let new = NewTenant {
        slug: DEMO_TENANT.to_owned(),
        name: "Demo".to_owned(),
        portal_host: None,
        step_up: StepUp::Base32,
        origins: DEMO_ORIGINS.iter().filter_map(|origin| origin.parse().ok()).collect(),
    };
    match directory.add_tenant_as(DEMO_TENANT_ID, &new).await {
        Ok(_) => {
            let change = TenantChange { return_urls: Some(demo_urls()), ..TenantChange::default() };
            directory.change_tenant(DEMO_TENANT, &change).await?;
        }
        Err(DirectoryError::TenantExists { .. }) => {}
        Err(error) => return Err(error),
    }
    for email in DEMO_CUSTOMERS {
        directory.add_customer(DEMO_TENANT, email).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once() {
        let home = std::env::temp_dir().join(format!("doorcode-dev-{}", std::process::id()));
        let first = master_key(&home).unwrap();
        assert!(master_key(&home).unwrap() == first);
        let text = fs::read_to_string(home.join("master.key")).unwrap();
        assert!(MasterKey::parse(&text).unwrap() == first, "what master_key.file takes");
        fs::write(home.join("master.key"), first.reveal()).unwrap();
        assert!(master_key(&home).unwrap() == first, "as earlier versions wrote it");
        fs::write(home.join("master.key"), b"short").unwrap();
        assert!(master_key(&home).unwrap_err().to_string().contains("5 bytes"));
        fs::remove_dir_all(home).unwrap();
    }
}
