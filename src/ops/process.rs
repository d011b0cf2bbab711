//! This process by the names that all Prometheus clients have for it: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use super::exposition::{counter, gauge};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// When it started, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Process(f64);

impl Process {
    /// Starts now: a few milliseconds after the process did.
    pub(super) fn started() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
    }
}

impl Collector for Process {
    /// Where the system has no /proc, what only that tells is left out.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = seconds(usage.user_time()) + seconds(usage.system_time());
            let help = "Processor time used, user and system";
            counter(&mut encoder, "process_cpu_seconds", help, used)?;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kib) = field(&status, "VmRSS:") {
            gauge(&mut encoder, "process_resident_memory_bytes", "Memory that is in RAM", kib * 1_024)?;
        }
        if let Some(threads) = field(&status, "Threads:") {
            gauge(&mut encoder, "process_threads", "Threads of the operating system", threads)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // without the one that reads the folder
            let open = open.count().saturating_sub(1) as u64;
            gauge(&mut encoder, "process_open_fds", "Open files and sockets", open)?;
        }
        if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            gauge(&mut encoder, "process_max_fds", "Files and sockets that may be open", most)?;
        }
        let (name, help) = ("process_start_time_seconds", "When this process started, in seconds since 1970");
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&self.0)
    }
}

/// The number behind a name.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
