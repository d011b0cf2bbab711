//! The addresses that requests seem to come from: limits of clients are about these.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

/// How another address is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CallerMode {
    /// Not at all: every request comes from this machine's own address.
    Own,
    /// The socket is bound to an address of 127.0.0.0/8: for a target on this machine, under Linux.
    Socket,
    /// X-Forwarded-For says it: the service must trust this machine as a proxy.
    Header,
}

impl CallerMode {
    /// What works without any preparation.
    pub fn for_targets(targets: &[SocketAddr]) -> CallerMode {
        let local = |target: &SocketAddr| target.is_ipv4() && target.ip().is_loopback();
        if cfg!(target_os = "linux") && targets.iter().all(local) {
            CallerMode::Socket
        } else {
            CallerMode::Own
        }
    }
}

/// One address to call from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// How.
    pub mode: CallerMode,
    /// As whom.
    pub ip: Ipv4Addr,
}

impl Caller {
    /// The local address to bind.
    pub fn source(self) -> Option<IpAddr> {
        (self.mode == CallerMode::Socket).then_some(IpAddr::V4(self.ip))
    }

    /// The value of `X-Forwarded-For`.
    pub fn forwarded_for(self) -> Option<Ipv4Addr> {
        (self.mode == CallerMode::Header).then_some(self.ip)
    }
}

/// A /24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    mode: CallerMode,
    number: u16,
}

impl Network {
    /// One of its 254 addresses, by number from 0; the first again after the last. `None` where no other address than
    /// this machine's own can be had.
    pub(crate) fn host(self, number: u32) -> Option<Caller> {
        let host = u8::try_from(number % 254).unwrap_or(0) + 1;
        let [high, low] = self.number.to_be_bytes();
        // 127.0.x.x is what other programs use.
        let ip = match self.mode {
            CallerMode::Own => return None,
            CallerMode::Socket => Ipv4Addr::new(127, high.max(1), low, host),
            CallerMode::Header => Ipv4Addr::new(10, high.max(1), low, host),
        };
        Some(Caller { mode: self.mode, ip })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host(0) {
            Some(Caller { ip, .. }) => write!(f, "{ip}/24"),
            None => f.write_str("this machine's own network"),
        }
    }
}

/// Hands out networks that this run has not used, from a random start, so that runs do not meet each other's limits.
#[derive(Debug)]
pub(crate) struct Callers {
    mode: CallerMode,
    next: AtomicU32,
}

impl Callers {
    /// From `start` on.
    pub(crate) fn new(mode: CallerMode, start: u16) -> Callers {
        Callers { mode, next: AtomicU32::new(start.into()) }
    }

    /// Whether there is more than one address.
    pub(crate) fn can_vary(&self) -> bool {
        self.mode != CallerMode::Own
    }

    /// The next one; the numbers come round after 65,000 or so.
    pub(crate) fn network(&self) -> Network {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Network { mode: self.mode, number: u16::try_from(0x100 + number % 0xff00).unwrap_or(u16::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_another_and_all_are_usable() {
        let callers = Callers::new(CallerMode::Socket, 0xffff);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let caller = callers.network().host(253).unwrap();
            assert!(caller.ip.is_loopback() && caller.ip.octets()[1] > 0 && caller.ip.octets()[3] == 254);
            assert!(seen.insert(caller.ip));
        }
        assert!(Callers::new(CallerMode::Own, 0).network().host(0).is_none());
    }
}
