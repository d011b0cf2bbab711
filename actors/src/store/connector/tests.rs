//! Against real servers: one with a certificate of a private authority, one that accepts and then says nothing.

use super::*;
use crate::test_cluster::Cluster;
use crate::test_settings::database;
use std::net::TcpListener;
use std::time::Instant;
use test_peers::{CA_FILE, CERTIFICATE_PEM, KEY_PEM};

fn tls_cluster() -> (Cluster, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = format!(
        "-c listen_addresses=localhost -c port={port} -c ssl=on -c ssl_cert_file=DIR/leaf.pem -c ssl_key_file=DIR/leaf.key"
    );
    (Cluster::with(&options, &[("leaf.pem", CERTIFICATE_PEM), ("leaf.key", KEY_PEM)]), port)
}

async fn connect(url: &str) -> Result<ClientWrapper, String> {
    let connector = Connector::new(&database(url)).map_err(|error| error.to_string())?;
    connector.connect().await.map_err(|error| describe(&error))
}

/// What `psql` does with the same words, it does too.
#[tokio::test]
async fn tls_is_as_libpq_has_it() {
    let (_cluster, port) = tls_cluster();
    let with_ca = |mode: &str| format!("sslmode={mode}&sslrootcert={CA_FILE}");
    let cases = [
        ("localhost", String::new(), Ok(true)),
        ("localhost", "sslmode=disable".to_owned(), Ok(false)),
        ("localhost", "sslmode=prefer".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", with_ca("verify-ca"), Ok(true)),
        ("127.0.0.1", with_ca("require"), Ok(true)),
        ("localhost", with_ca("verify-full"), Ok(true)),
        ("127.0.0.1", with_ca("verify-full"), Err("certificate not valid for name")),
        ("localhost", "sslmode=verify-full".to_owned(), Err("UnknownIssuer")),
        ("localhost", "sslmode=verify-ca&sslrootcert=system".to_owned(), Err("UnknownIssuer")),
        ("localhost", "sslmode=verify-ca&sslrootcert=/none.pem".to_owned(), Err("/none.pem cannot be used")),
    ];
    for (host, query, expected) in cases {
        let url = format!("postgres://test@{host}:{port}/postgres?{query}");
        let got = match connect(&url).await {
            Ok(client) => {
                let row =
                    client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
                Ok(row.unwrap().get::<_, bool>(0))
            }
            Err(error) => Err(error),
        };
        match (&got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(*got, expected, "{url}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{url}: {error}"),
            _ => panic!("{url}: {got:?}"),
        }
    }
}

/// A frozen host holds nobody up, and no connection is made where nothing can be written.
#[tokio::test]
async fn the_host_that_takes_writes_is_found() {
    let (cluster, port) = tls_cluster();
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let frozen = frozen.local_addr().map(|address| (address, frozen)).unwrap();
    let hosts = format!("postgres://test@{},127.0.0.1:{port}/postgres", frozen.0);
    for order in ["", "?load_balance_hosts=disable"] {
        let connector = Connector::new(&database(&format!("{hosts}{order}"))).unwrap();
        for _ in 0..4 {
            let began = Instant::now();
            connector.connect().await.unwrap();
            assert!(began.elapsed() < HOST_PATIENCE + Duration::from_secs(1), "{:?}", began.elapsed());
        }
    }
    let admin = connect(&cluster.url.replace("?", &format!("?port={port}&"))).await.unwrap();
    admin.batch_execute("ALTER ROLE test SET default_transaction_read_only = on").await.unwrap();
    let error = connect(&hosts).await.err().unwrap();
    let parts = ["no answer within 1s", &format!("127.0.0.1:{port}: it takes no writes")];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}
