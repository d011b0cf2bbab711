//! What systemd is told (sd_notify(3), `Type=notify`): that we serve, that we stop, and that we still live. Elsewhere
//! `NOTIFY_SOCKET` is not set, and nothing is done.

use std::convert::Infallible;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager's socket, if there is one.
pub(crate) struct ServiceManager(Option<(UnixDatagram, SocketAddr)>);

impl ServiceManager {
    /// As the environment says. A socket that cannot be used is told of and does no harm: systemd will time out.
    pub(crate) fn from_environment() -> Self {
        let Ok(name) = std::env::var("NOTIFY_SOCKET") else { return Self(None) };
        match address(&name).and_then(|address| Ok((unblocking()?, address))) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(%error, name, "NOTIFY_SOCKET cannot be used");
                Self(None)
            }
        }
    }

    /// Sends one state, such as `READY=1`.
    pub(crate) fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!(%error, state, "the service manager cannot be told");
        }
    }

    /// Says that we live, twice in each `WATCHDOG_USEC`, for as long as the runtime runs tasks.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok());
        let Some(micros) = micros.filter(|micros| *micros > 0) else { return std::future::pending().await };
        let mut rounds = tokio::time::interval(Duration::from_micros(micros / 2));
        loop {
            rounds.tick().await;
            self.tell("WATCHDOG=1");
        }
    }
}

/// Whoever does not read what we say must not stop us.
fn unblocking() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A path, or a name in Linux's abstract namespace, which begins with `@`.
fn address(name: &str) -> std::io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(name)
}
