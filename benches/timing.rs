//! Can a caller tell by the clock whether an address is a customer's, and what it did before? (C4)
//!
//! One keep-alive connection asks `/login` for an address of each class in random order, by two processes on one
//! database: one with the time grid, one without. Samples of one connection are not independent, so no t-test: the
//! figure is the probability that one class is slower than a stranger's first question (AUC, Mann and Whitney), of single
//! samples and of medians of ten. With the grid every class must stay within 0.5 ± 0.03 and ± 0.08. A gate that cannot
//! fail proves nothing: without the grid 200 µs more must be caught, with it a whole step.
//!
//! `cargo bench --bench timing [-- TUPLES [load] [signup]]`, by default 2,000 of each class; `load` adds four callers beside
//! it, `signup` opens the tenant's list of customers: strangers are mailed, too. It wants a quiet machine, for nine minutes with 2,000 of each
//! class (nine questions of 20 ms for each). Exit code 1: a class can be told apart, or a control cannot.

#![allow(clippy::print_stdout, reason = "figures for a person")]

use doorcode::app::{App, Mode};
use doorcode::config::Config;
use doorcode_actors::directory::{ImportRow, NewTenant, Signup, StepUp, TenantChange};
use doorcode_actors::{Directory, Mailbox, migrate};
use doorcode_domain::{Clock, ManualClock};
use private_postgres::{Options, PrivatePostgres};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The first is what the others are compared with.
const CLASSES: [&str; 8] = [
    "stranger",
    "customer, never asked",
    "logged in last week",
    "known device",
    "in cool-down",
    "mails spent",
    "disabled",
    "unknown tenant",
];
const WARM_UP: usize = 100;
const KEY: [u8; 32] = [7; 32];
const STEP_US: f64 = 20_000.0;
const SINGLE: f64 = 0.03;
const OF_TEN: f64 = 0.08;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tuples = arguments.iter().find_map(|arg| arg.parse().ok()).unwrap_or(2_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let signup = arguments.iter().any(|arg| arg == "signup");
    let mut world = runtime.block_on(World::start(2 * (WARM_UP + tuples), signup))?;
    if arguments.iter().any(|arg| arg == "load") {
        (0..4).for_each(|caller| beside(world.without_grid, caller));
    }
    println!("{tuples} questions of each class; AUC of single samples and of medians of ten");
    let without = world.measure(world.without_grid, 0..WARM_UP + tuples)?;
    println!("without the grid (for comparison)");
    for (times, class) in without.iter().zip(CLASSES).skip(1) {
        let _ = judge(class, &without[0], times);
    }
    let mut ok = control("200 µs more", &without[0], 200.0);
    let with = world.measure(world.with_grid, WARM_UP + tuples..2 * (WARM_UP + tuples))?;
    println!("with the grid");
    for (times, class) in with.iter().zip(CLASSES).skip(1) {
        ok &= judge(class, &with[0], times);
    }
    ok &= control("a step more", &with[0], STEP_US);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Two doorcodes on one database, limits off but the addresses' mails, and customers with a past.
struct World {
    without_grid: SocketAddr,
    with_grid: SocketAddr,
    devices: Vec<String>,
    rng: ChaCha20Rng,
}

impl World {
    async fn start(customers: usize, signup: bool) -> Result<Self> {
        let postgres = Box::leak(Box::new(PrivatePostgres::start(Options::throwaway("doorcode")?).await?));
        let url = postgres.url();
        let (mailbox, clock) = (Mailbox::default(), ManualClock::at(0));
        clock.advance(SystemTime::now().duration_since(UNIX_EPOCH)?);
        migrate(&config(&url, "0s")?.database).await?;
        let directory = Directory::open(&config(&url, "0s")?.database, &KEY).await?;
        let tenant = NewTenant {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            portal_host: None,
            step_up: StepUp::Base32,
            origins: Vec::new(),
        };
        directory.add_tenant(&tenant).await?;
        let rule = if signup { Signup::Open } else { Signup::Closed };
        let change = TenantChange { signup: Some(rule), ..TenantChange::default() };
        directory.change_tenant("acme", &change).await?;
        let kinds = ["new", "week", "device", "gone"];
        let emails = kinds.iter().flat_map(|kind| (0..customers).map(move |n| email(kind, n)));
        let rows = emails.zip(0..).map(|(email, line)| Ok(ImportRow { line, email, ..ImportRow::default() }));
        directory.import_customers("acme", rows).await?;
        for n in 0..customers {
            directory.disable_customer("acme", &email("gone", n)).await?;
        }
        let mode = || Mode {
            mailbox: Some(mailbox.clone()),
            clock: Clock::Manual(clock.clone()),
            allow_unsafe: true,
            ..Mode::development()
        };
        let mut addresses = Vec::new();
        for grid in ["0s", "20ms"] {
            let app = App::start(&config(&url, grid)?, mode()).await?;
            addresses.push(app.public_addr()?);
            tokio::spawn(app.run(std::future::pending()));
        }
        let mut devices = Vec::new();
        for n in 0..customers {
            log_in(addresses[0], &mailbox, &email("week", n)).await?;
            devices.push(log_in(addresses[0], &mailbox, &email("device", n)).await?);
        }
        clock.advance_s(7 * 86_400);
        for _ in 0..6 {
            Caller::connect(addresses[0])?.ask("spent@example.com", "acme", "")?;
            clock.advance_s(61);
        }
        let rng = ChaCha20Rng::seed_from_u64(1);
        Ok(Self { without_grid: addresses[0], with_grid: addresses[1], devices, rng })
    }

    /// Microseconds by class.
    fn measure(&mut self, address: SocketAddr, numbers: std::ops::Range<usize>) -> Result<Vec<Vec<f64>>> {
        let mut caller = Caller::connect(address)?;
        let mut times = vec![Vec::new(); CLASSES.len()];
        let begin = numbers.start + WARM_UP;
        for n in numbers {
            caller.ask(&email("cool", n), "acme", "")?;
            let mut order: Vec<usize> = (0..CLASSES.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, (self.rng.next_u32() as usize) % (at + 1));
            }
            for class in order {
                let kind = ["ghost", "new", "week", "device", "cool", "spent", "gone", "new"][class];
                let email = if kind == "spent" { "spent@example.com".to_owned() } else { email(kind, n) };
                let slug = if class == 7 { "nowhere" } else { "acme" };
                let cookie = if kind == "device" { self.devices[n].as_str() } else { "" };
                let took = caller.ask(&email, slug, cookie)?;
                if n >= begin {
                    times[class].push(took);
                }
            }
        }
        Ok(times)
    }
}

fn config(url: &str, grid: &str) -> Result<Config> {
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let settings = [
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("OPS__LISTEN", "127.0.0.1:0"),
        ("HTTP__LOGIN_GRID", grid),
        ("DATABASE__URL", url),
        ("MASTER_KEY__VALUE", &key),
        ("LIMITS__CLIENT__ENABLED", "false"),
        ("LIMITS__TENANT__ENABLED", "false"),
        // a machine that stands still for a moment costs a sample, not the run
        ("HTTP__REQUEST_DEADLINE", "10s"),
        ("DATABASE__STATEMENT_TIMEOUT", "10s"),
    ];
    let settings = settings.map(|(key, value)| (format!("DOORCODE__{key}"), value.to_owned()));
    Ok(Config::load(None, settings)?.config)
}

fn email(kind: &str, n: usize) -> String {
    format!("{kind}{n}@example.com")
}

/// Asks, reads the mail, types the code; returns the device cookie.
async fn log_in(address: SocketAddr, mailbox: &Mailbox, email: &str) -> Result<String> {
    let mut caller = Caller::connect(address)?;
    caller.ask(email, "acme", "")?;
    let mails = tokio::time::timeout(Duration::from_secs(20), mailbox.wait_for(email, 1)).await?;
    let code = mails.first().map(|mail| mail.subject.chars().take(6).collect::<String>()).unwrap_or_default();
    let body = format!(r#"{{"code":"{code}","email":"{email}","tenant_slug":"acme"}}"#);
    let answer = caller.call("verify", &body, "")?;
    let cookies = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let device = cookies.filter_map(|line| line.split(';').next()).find(|pair| pair.contains("_device_"));
    device.map(str::to_owned).ok_or_else(|| format!("no device cookie for {email}: {answer}").into())
}

/// Logins of other addresses, for as long as the run lasts.
fn beside(address: SocketAddr, caller: usize) {
    std::thread::spawn(move || -> Result<()> {
        let mut connection = Caller::connect(address)?;
        for n in 0.. {
            connection.ask(&format!("beside{caller}x{n}@example.com"), "acme", "")?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    });
}

/// One keep-alive connection.
struct Caller {
    stream: TcpStream,
}

impl Caller {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        Ok(Self { stream })
    }

    /// `/login`, in microseconds.
    fn ask(&mut self, email: &str, slug: &str, cookie: &str) -> Result<f64> {
        let body = format!(r#"{{"email":"{email}","tenant_slug":"{slug}"}}"#);
        let begun = Instant::now();
        let answer = self.call("login", &body, cookie)?;
        let took = begun.elapsed().as_secs_f64() * 1e6;
        if answer.starts_with("HTTP/1.1 200") { Ok(took) } else { Err(answer.into()) }
    }

    fn call(&mut self, call: &str, body: &str, cookie: &str) -> Result<String> {
        let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        let request = format!(
            "POST /v1/customer-auth/{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{cookie}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::with_capacity(2_048);
        let mut chunk = [0; 4_096];
        while !is_whole(&answer) {
            match self.stream.read(&mut chunk)? {
                0 => return Err("the connection was closed".into()),
                n => answer.extend_from_slice(&chunk[..n]),
            }
        }
        Ok(String::from_utf8(answer)?)
    }
}

/// Head, then as many bytes as it says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

/// Whether a class cannot be told from strangers, and the figures.
fn judge(class: &str, strangers: &[f64], other: &[f64]) -> bool {
    let medians =
        |times: &[f64]| -> Vec<f64> { times.chunks(10).map(|ten| median(&mut ten.to_vec())).collect() };
    let (single, of_ten) = (auc(strangers, other), auc(&medians(strangers), &medians(other)));
    let alike = (single - 0.5).abs() <= SINGLE && (of_ten - 0.5).abs() <= OF_TEN;
    println!(
        "  {class:22} median {:9.1} µs ({:+8.1})  AUC {single:.3}  of ten {of_ten:.3}  {}",
        median(&mut other.to_vec()),
        median(&mut other.to_vec()) - median(&mut strangers.to_vec()),
        if alike { "alike" } else { "DIFFERENT" }
    );
    alike
}

/// A class that is slower on purpose must be found.
fn control(name: &str, strangers: &[f64], more: f64) -> bool {
    let slower: Vec<f64> = strangers.iter().map(|time| time + more).collect();
    let caught = !judge(name, strangers, &slower);
    println!("  the control is {}", if caught { "caught" } else { "NOT caught: this run proves nothing" });
    caught
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Mann and Whitney: how often one of the other class is slower than a known one.
fn auc(known: &[f64], other: &[f64]) -> f64 {
    let mut known: Vec<f64> = known.to_vec();
    known.sort_by(f64::total_cmp);
    let below = |value: &f64| known.partition_point(|k| k < value) as f64;
    other.iter().map(below).sum::<f64>() / (known.len() * other.len()) as f64
}
