//! HAProxy in front of what a test serves.

use super::PATIENCE;
use super::process::Scratch;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// It is killed when it is dropped.
pub(crate) struct HaProxy {
    pub address: SocketAddr,
    process: Child,
    place: Scratch,
}

impl HaProxy {
    /// With these settings, which bind this address; `PLACE` in them is a folder of its own.
    pub(crate) async fn start(name: &str, address: SocketAddr, settings: &str) -> Self {
        let place = Scratch::new(name);
        std::fs::create_dir_all(place.path()).unwrap();
        let file = place.path().join("haproxy.cfg");
        std::fs::write(&file, settings.replace("PLACE", &place.path().display().to_string())).unwrap();
        std::fs::write(place.path().join("cells.map"), "").unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("haproxy: install it");
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up).await.expect("a proxy that listens");
        Self { address, process, place }
    }

    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
