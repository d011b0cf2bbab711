//! Where PostgreSQL is: a URL as libpq takes it, read into one target a host.

use percent_encoding::percent_decode_str;
use setting_values::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Why the database settings are unusable.
#[derive(Debug, Error)]
pub enum DatabaseUrlError {
    /// No URL.
    #[error("database.url is not set: expected where Postgres is, there or in DATABASE_URL")]
    Missing,
    /// The URL.
    #[error("the database URL cannot be read: {0}; expected postgres://user:password@host/database")]
    Url(String),
    /// `sslmode`.
    #[error(
        "the database URL's sslmode is {0:?}: expected disable, prefer, require, verify-ca or verify-full"
    )]
    SslMode(String),
    /// `sslrootcert`.
    #[error("the database URL's sslrootcert {0} cannot be used: {1}")]
    Roots(String, String),
    /// The pool.
    #[error("the connection pool cannot be built: {0}")]
    Pool(String),
}

/// Where Postgres is. Holds a password, so it is a secret as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl(Secret);

/// What TLS is for, as libpq's `sslmode` has it (PostgreSQL 15 manual, 34.19.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Never.
    Disable,
    /// Where the server has it; nobody is verified. The default.
    Prefer,
    /// Always; nobody is verified, unless `sslrootcert` is given.
    Require,
    /// Always, and an authority of `sslrootcert` vouches for the server, whatever its name.
    VerifyCa,
    /// Always, and the certificate shows the host's name.
    VerifyFull,
}

/// What a URL says.
pub(crate) struct Targets {
    /// One host each, in the URL's order.
    pub(crate) hosts: Vec<Config>,
    pub(crate) tls: Tls,
    /// `sslrootcert`; `None`: the system's.
    pub(crate) roots: Option<PathBuf>,
    /// `load_balance_hosts=disable`: the first host that takes writes, in the URL's order.
    pub(crate) in_order: bool,
}

impl DatabaseUrl {
    /// For the one who connects.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Whether what is said to the database leaves this machine, and somebody on the way could pose as the database.
    pub fn is_exposed(&self) -> bool {
        let Ok(targets) = self.targets() else { return false };
        let is_local = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        };
        let is_verified = matches!(targets.tls, Tls::VerifyCa | Tls::VerifyFull);
        !is_verified && !targets.hosts.iter().flat_map(Config::get_hosts).all(is_local)
    }

    /// Reads it. The driver knows neither `verify-ca` and `verify-full` nor `sslrootcert`, and bounds the way to several
    /// hosts only as a whole: it gets one URL a host, without these parameters.
    pub(crate) fn targets(&self) -> Result<Targets, DatabaseUrlError> {
        let unreadable = |what: &str| DatabaseUrlError::Url(what.to_owned());
        let (scheme, rest) = self.reveal().split_once("://").ok_or_else(|| unreadable("it has no scheme"))?;
        let (user, rest) = rest.split_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let (hosts, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut tls, mut roots, mut in_order, mut kept) = (Tls::Prefer, None, false, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match key {
                "sslmode" => tls = Tls::named(&value)?,
                "sslrootcert" if value == "system" => roots = None,
                "sslrootcert" => roots = Some(PathBuf::from(&*value)),
                "load_balance_hosts" => in_order = value == "disable",
                _ => kept.push(pair),
            }
        }
        if tls == Tls::Require && roots.is_some() {
            // as libpq does, "for backward compatibility"
            tls = Tls::VerifyCa;
        }
        let at = if user.is_empty() { "" } else { "@" };
        let config = |host: &str| {
            let url = format!("{scheme}://{user}{at}{host}{path}?{}", kept.join("&"));
            let mut config: Config = url
                .parse()
                .map_err(|error: tokio_postgres::Error| DatabaseUrlError::Url(error.to_string()))?;
            config.ssl_mode(match tls {
                Tls::Disable => SslMode::Disable,
                Tls::Prefer => SslMode::Prefer,
                Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
            });
            Ok(config)
        };
        let hosts = hosts.split(',').map(config).collect::<Result<_, DatabaseUrlError>>()?;
        Ok(Targets { hosts, tls, roots, in_order })
    }
}

impl Tls {
    fn named(name: &str) -> Result<Self, DatabaseUrlError> {
        Ok(match name {
            "disable" => Self::Disable,
            "prefer" | "allow" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => return Err(DatabaseUrlError::SslMode(other.to_owned())),
        })
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("expected a URL such as postgres://user:password@host:5432/doorcode");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(url: &str) -> Result<Targets, String> {
        url.parse::<DatabaseUrl>().unwrap().targets().map_err(|error| error.to_string())
    }

    #[test]
    fn each_host_is_a_target_of_its_own() {
        let url = "postgres://me:p%40ss@a.db:6000,[::1],c/shop?sslmode=verify-full&sslrootcert=/etc/my%20ca.pem\
                   &application_name=x";
        let read = targets(url).unwrap();
        assert_eq!((read.tls, read.in_order), (Tls::VerifyFull, false));
        assert_eq!(read.roots.as_deref(), Some(std::path::Path::new("/etc/my ca.pem")));
        let seen: Vec<_> =
            read.hosts.iter().map(|host| (host.get_hosts().to_vec(), host.get_ports().to_vec())).collect();
        let tcp = |name: &str| vec![Host::Tcp(name.to_owned())];
        assert_eq!(seen, [(tcp("a.db"), vec![6000]), (tcp("::1"), vec![5432]), (tcp("c"), vec![5432])]);
        for host in &read.hosts {
            assert_eq!((host.get_user(), host.get_dbname()), (Some("me"), Some("shop")));
            assert_eq!(host.get_password(), Some(&b"p@ss"[..]));
            assert_eq!((host.get_application_name(), host.get_ssl_mode()), (Some("x"), SslMode::Require));
        }
        let socket = targets("postgres://me@/shop?host=/run/pg&load_balance_hosts=disable").unwrap();
        assert_eq!(socket.hosts[0].get_hosts(), [Host::Unix("/run/pg".into())]);
        assert_eq!((socket.tls, socket.in_order), (Tls::Prefer, true));
    }

    #[test]
    fn modes_are_libpq_s() {
        assert_eq!(targets("postgres://a/b?sslmode=require&sslrootcert=x").unwrap().tls, Tls::VerifyCa);
        assert_eq!(targets("postgres://a/b?sslmode=require&sslrootcert=system").unwrap().tls, Tls::Require);
        let error = targets("postgres://a/b?sslmode=verify_full").err().unwrap();
        assert!(error.contains("verify_full") && error.contains("verify-full"), "{error}");
        assert!(targets("postgres://a:x/b").is_err(), "no port");
    }
}
