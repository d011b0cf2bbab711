//! Can a caller tell by the clock whether an address exists? (STANDARDS section 4, C4)
//!
//! One keep-alive connection asks `/login`, then `/verify`, for addresses of each class in random order: known, unknown,
//! mail budget spent, unknown tenant. Samples of one connection are not independent, so no t-test: paired differences
//! with a bootstrap interval of their median, and the probability that one class is slower than the other (AUC). The
//! gate is equivalence: the whole interval inside the margin, the AUC within 0.45 to 0.55. A positive control slows one
//! class down by 200 µs; a gate that lets it pass proves nothing.
//!
//! `cargo bench --bench timing [-- TUPLES [MARGIN_US]]`, by default 5,000 and 50. It wants a quiet machine. Exit code 1:
//! a class can be told apart, or the control cannot.

#![allow(clippy::print_stdout, reason = "figures for a person")]

use doorcode::app::{App, Mode};
use doorcode::config::Config;
use doorcode_actors::directory::{ImportRow, NewTenant, StepUp};
use doorcode_actors::{Directory, migrate};
use private_postgres::{Options, PrivatePostgres};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CLASSES: [&str; 4] = ["known", "unknown", "limited", "unknown tenant"];
const WARM_UP: usize = 500;
const KEY: [u8; 32] = [7; 32];

fn main() -> Result<ExitCode> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let tuples = numbers.first().copied().unwrap_or(5_000);
    let margin = numbers.get(1).copied().unwrap_or(50) as f64;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = runtime.block_on(start(WARM_UP + tuples))?;
    let mut ok = true;
    for call in ["login", "verify"] {
        let times = Caller::connect(address)?.measure(call, tuples)?;
        println!("{call}: {tuples} tuples, margin ±{margin} µs");
        for (class, slower) in CLASSES.iter().zip(&times).skip(1) {
            ok &= judge(class, &times[0], slower, margin);
        }
        let control: Vec<f64> = times[1].iter().map(|time| time + 200.0).collect();
        let caught = !judge("positive control", &times[0], &control, margin);
        println!(
            "  the control is {}",
            if caught { "caught" } else { "NOT caught: this run proves nothing" }
        );
        ok &= caught;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A doorcode of its own, limits off but the addresses' mails, with as many customers as are asked for.
async fn start(customers: usize) -> Result<SocketAddr> {
    let postgres = Box::leak(Box::new(PrivatePostgres::start(Options::throwaway("doorcode")?).await?));
    let url = postgres.url();
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = [
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("OPS__LISTEN", "127.0.0.1:0"),
        ("DATABASE__URL", &url),
        ("MASTER_KEY__VALUE", &key),
        ("LIMITS__CLIENT__ENABLED", "false"),
        ("LIMITS__TENANT__ENABLED", "false"),
    ];
    let settings = settings.map(|(key, value)| (format!("DOORCODE__{key}"), value.to_owned()));
    let config = Config::load(None, settings)?.config;
    migrate(&config.database).await?;
    let directory = Directory::open(&config.database, &KEY).await?;
    let tenant = NewTenant {
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        portal_host: None,
        step_up: StepUp::Base32,
        origins: Vec::new(),
    };
    directory.add_tenant(&tenant).await?;
    let rows = (0..customers)
        .map(|n| Ok(ImportRow { line: n as u64, email: format!("known{n}@example.com"), customer_id: None }));
    directory.import_customers("acme", rows).await?;
    let app = App::start(&config, Mode { allow_unsafe: true, ..Mode::development() }).await?;
    let address = app.public_addr()?;
    tokio::spawn(app.run(std::future::pending()));
    Ok(address)
}

/// One keep-alive connection.
struct Caller {
    stream: TcpStream,
    rng: ChaCha20Rng,
}

impl Caller {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { stream, rng: ChaCha20Rng::seed_from_u64(1) })
    }

    /// Microseconds by class, in step: the i-th of each class belong together.
    fn measure(&mut self, call: &str, tuples: usize) -> Result<[Vec<f64>; 4]> {
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..6 {
            self.ask("login", "limited@example.com", "acme")?;
        }
        for tuple in 0..WARM_UP + tuples {
            let mut order = [0, 1, 2, 3];
            for at in (1..4).rev() {
                order.swap(at, (self.rng.next_u32() as usize) % (at + 1));
            }
            for class in order {
                let (email, slug) = match class {
                    0 => (format!("known{tuple}@example.com"), "acme"),
                    1 => (format!("ghost{tuple}@example.com"), "acme"),
                    2 => ("limited@example.com".to_owned(), "acme"),
                    _ => (format!("known{tuple}@example.com"), "nowhere"),
                };
                let took = self.ask(call, &email, slug)?;
                if tuple >= WARM_UP {
                    times[class].push(took);
                }
            }
        }
        Ok(times)
    }

    fn ask(&mut self, call: &str, email: &str, slug: &str) -> Result<f64> {
        let code = if call == "verify" { r#""code":"000000","# } else { "" };
        let body = format!(r#"{{{code}"email":"{email}","tenant_slug":"{slug}"}}"#);
        let request = format!(
            "POST /v1/customer-auth/{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::with_capacity(1_024);
        let mut chunk = [0; 2_048];
        while !is_whole(&answer) {
            match self.stream.read(&mut chunk)? {
                0 => return Err("the connection was closed".into()),
                n => answer.extend_from_slice(&chunk[..n]),
            }
        }
        let took = begun.elapsed().as_secs_f64() * 1e6;
        let expected: &[u8] = if call == "verify" { b"HTTP/1.1 401" } else { b"HTTP/1.1 200" };
        if answer.starts_with(expected) { Ok(took) } else { Err(String::from_utf8_lossy(&answer).into()) }
    }
}

/// Head, then as many bytes as it says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

/// Whether two classes are equivalent, and the figures.
fn judge(class: &str, known: &[f64], other: &[f64], margin: f64) -> bool {
    let differences: Vec<f64> = other.iter().zip(known).map(|(other, known)| other - known).collect();
    let (low, high) = bootstrap(&differences);
    let auc = auc(known, other);
    let equal = low > -margin && high < margin && (0.45..=0.55).contains(&auc);
    println!(
        "  {class:17} median {:+7.1} µs [{low:+.1}, {high:+.1}]  AUC {auc:.3}  {}",
        median(&mut differences.clone()),
        if equal { "equivalent" } else { "DIFFERENT" }
    );
    equal
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// 95 % interval of the median by 1,000 resamples.
fn bootstrap(differences: &[f64]) -> (f64, f64) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut medians: Vec<f64> = (0..1_000)
        .map(|_| {
            let mut sample: Vec<f64> = differences
                .iter()
                .map(|_| differences[rng.next_u32() as usize % differences.len()])
                .collect();
            median(&mut sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    (medians[25], medians[974])
}

/// Mann and Whitney: how often one of the other class is slower than a known one.
fn auc(known: &[f64], other: &[f64]) -> f64 {
    let mut known: Vec<f64> = known.to_vec();
    known.sort_by(f64::total_cmp);
    let below = |value: &f64| known.partition_point(|k| k < value) as f64;
    other.iter().map(below).sum::<f64>() / (known.len() * other.len()) as f64
}
