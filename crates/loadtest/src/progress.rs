//! A line that says how far a run is: rewritten every second on a terminal, else a new one every five.

use crate::meter::{Glance, Meter, Phase};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where progress goes.
pub struct Progress {
    out: Box<dyn Write + Send>,
    terminal: bool,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

impl Progress {
    /// To standard error, which leaves standard output to the report.
    pub fn stderr() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), out: Box::new(io::stderr()) }
    }

    /// Nowhere.
    pub fn silent() -> Progress {
        Progress::to(io::sink(), false)
    }

    /// Anywhere; `terminal` rewrites one line.
    pub fn to(out: impl Write + Send + 'static, terminal: bool) -> Progress {
        Progress { out: Box::new(out), terminal }
    }

    /// Reports until it is dropped.
    pub(crate) async fn run(&mut self, meter: &Meter) -> Infallible {
        let every = Duration::from_secs(if self.terminal { 1 } else { 5 });
        let began = Instant::now();
        let mut before = Glance::default();
        loop {
            tokio::time::sleep(every).await;
            let now = meter.glance();
            let line = line(meter.phase(), began.elapsed(), every, &before, &now);
            before = now;
            self.show(&line);
        }
    }

    /// Leaves the terminal's line clean.
    pub(crate) fn finish(&mut self) {
        if self.terminal {
            let _ = write!(self.out, "\r\x1b[K");
            let _ = self.out.flush();
        }
    }

    /// A progress line that cannot be shown is no reason to lose the run.
    fn show(&mut self, line: &str) {
        let _ = if self.terminal { write!(self.out, "\r\x1b[K{line}") } else { writeln!(self.out, "{line}") };
        let _ = self.out.flush();
    }
}

fn line(phase: Phase, elapsed: Duration, every: Duration, before: &Glance, now: &Glance) -> String {
    let phase = match phase {
        Phase::Before => "preparing",
        Phase::Measured => "measuring",
    };
    let rate = now.answered.saturating_sub(before.answered) as f64 / every.as_secs_f64();
    let p99 = now.p99_ms.map_or_else(|| "-".to_owned(), |p99| format!("{p99:.1}"));
    let newest = now.newest_failure.as_deref().map(|newest| format!(" ({newest})")).unwrap_or_default();
    format!(
        "{phase} {:>4} s  {rate:>7.0}/s  p99 {p99:>6} ms  {:>9} answered  {} failed{newest}",
        elapsed.as_secs(),
        now.answered,
        now.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_has_one_line_rewritten_each_second_and_a_file_one_more_every_five() {
        for (terminal, starts, ends) in [(true, 12, 0), (false, 0, 2)] {
            let shown = Shared::default();
            let mut progress = Progress::to(shown.clone(), terminal);
            let meter = Meter::new().unwrap();
            let run = tokio::time::timeout(Duration::from_millis(12_500), progress.run(&meter)).await;
            assert!(run.is_err());
            let shown = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
            assert_eq!(
                (shown.matches('\r').count(), shown.matches('\n').count()),
                (starts, ends),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn the_line_shows_the_rate_since_the_last() {
        let before = Glance { answered: 1_000, ..Glance::default() };
        let newest_failure = Some("login status_503".to_owned());
        let now = Glance { answered: 11_000, failed: 2, p99_ms: Some(12.34), newest_failure };
        let line = line(Phase::Measured, Duration::from_secs(10), Duration::from_secs(5), &before, &now);
        for part in ["measuring   10 s", " 2000/s", "p99   12.3 ms", "2 failed (login status_503)"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
