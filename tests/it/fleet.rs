//! Replicas behind HAProxy, as `deploy/haproxy.cfg` has it: they are restarted and killed, and no customer notices.

use crate::support::PATIENCE;
use crate::support::haproxy::{HaProxy, free_address};
use crate::support::postgres::ACME;
use crate::support::process::{Program, Site};
use crate::support::wire::Wire;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

const CUSTOMERS: usize = 20_000;

/// Before replicas by their public and their ops address. Of the file that is shipped only addresses are changed.
async fn before(replicas: [(SocketAddr, SocketAddr); 2]) -> HaProxy {
    let address = free_address();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/haproxy.cfg");
    let mut settings = std::fs::read_to_string(shipped).unwrap();
    let mut change = |from: &str, to: String| {
        assert!(settings.contains(from), "{from} is not in deploy/haproxy.cfg");
        settings = settings.replace(from, &to);
    };
    // as many open files as a test may have
    change("maxconn 20000", "maxconn 400".to_owned());
    change("bind :443 ssl crt /etc/haproxy/login.pem alpn h2,http/1.1", format!("bind {address}"));
    for (server, (api, ops)) in
        ["server one 10.0.0.11:8080", "server two 10.0.0.12:8080"].iter().zip(replicas)
    {
        let name: Vec<&str> = server.split(' ').collect();
        change(server, format!("server {} {api} check port {}", name[1], ops.port()));
    }
    HaProxy::start("haproxy", address, &settings).await
}

async fn start(site: &Site, (api, ops): (SocketAddr, SocketAddr)) -> Program {
    let setup = site.setup().set("DOORCODE__HTTP__LISTEN", &api.to_string());
    // as long as by default: the proxy looks twice in it
    let setup =
        setup.set("DOORCODE__OPS__LISTEN", &ops.to_string()).set("DOORCODE__HTTP__DRAIN_NOTICE", "3s");
    let program = setup.start().await;
    program.until_ready(200).await;
    program
}

/// Logins of ever new customers until told to stop; none may fail.
async fn logins(proxy: SocketAddr, next: Arc<AtomicUsize>, over: Arc<AtomicBool>) -> usize {
    let (mut wire, mut count) = (Wire::to(proxy), 0);
    while !over.load(SeqCst) {
        let n = next.fetch_add(1, SeqCst);
        assert!(n < CUSTOMERS, "more customers are needed");
        let answer = wire.login(ACME, &format!("user{n}@example.com")).await;
        let answer = answer.unwrap_or_else(|error| panic!("login {n}: {error}"));
        assert_eq!(answer.status, 200, "login {n}: {answer:?}");
        count += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count
}

/// Each in turn is stopped and started again, then one is killed: no call fails, and every login is mailed.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_a_kill_behind_haproxy_fail_no_request() {
    let site = Site::with_customers(CUSTOMERS).await;
    let addresses = [(free_address(), free_address()), (free_address(), free_address())];
    let mut replicas = vec![start(&site, addresses[0]).await, start(&site, addresses[1]).await];
    let proxy = before(addresses).await;
    // both have been looked at
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (next, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        callers.spawn(logins(proxy.address, next.clone(), over.clone()));
    }
    for address in addresses {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut old = replicas.remove(0);
        old.terminate();
        assert_eq!(old.exit_code().await, Some(0));
        replicas.push(start(&site, address).await);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    replicas.remove(0).kill().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    over.store(true, SeqCst);
    let answered: usize = callers.join_all().await.into_iter().sum();
    println!("{answered} logins, none failed");
    let mailed = async {
        loop {
            let mailed: HashSet<String> = site.sink.received().into_iter().flat_map(|mail| mail.to).collect();
            if mailed.len() >= answered {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, mailed).await.expect("a mail for every answered login");
    for replica in replicas {
        replica.kill().await;
    }
}
