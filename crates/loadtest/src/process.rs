//! What processes cost, read from `/proc`: the steadiest figure of a load run on a shared machine.
//!
//! A process is watched with its descendants, living and reaped: a service's workers, or a Postgres server's
//! backends when its first process (the postmaster) is given. A Postgres below a process that is none itself, as
//! `doorcode dev` has one, is left out, so that service and database can be told apart.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Linux reports processor time in hundredths of a second, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

/// A process over the measured time.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Its short name.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// Processor time used, user and system.
    pub cpu: Duration,
    /// Memory before, with shared pages counted once (the proportional set size where readable).
    pub memory_before: u64,
    /// Memory after.
    pub memory_after: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    cpu: Duration,
    memory: u64,
}

/// The processes to watch.
#[derive(Debug)]
pub(crate) struct Watches {
    watched: Vec<(u32, String, bool, Usage)>,
}

impl Watches {
    /// The driver itself, and these. An id without a process is an error, named.
    pub(crate) fn new(pids: &[u32]) -> Result<Watches, u32> {
        let mut watched = vec![(std::process::id(), "driver".to_owned(), false, Usage::default())];
        for &pid in pids {
            let name = read_stat(pid).ok_or(pid)?.name;
            watched.push((pid, name, true, Usage::default()));
        }
        Ok(Watches { watched })
    }

    /// Takes the figures at the start of the measurement.
    pub(crate) fn begin(&mut self) {
        let table = process_table();
        for (pid, _, family, before) in &mut self.watched {
            *before = usage(&table, *pid, *family);
        }
    }

    /// Takes the figures at its end. A process that went away shows what it had used up to the start: nothing.
    pub(crate) fn end(&self) -> Vec<Watched> {
        let table = process_table();
        let over = |(pid, name, family, before): &(u32, String, bool, Usage)| {
            let after = usage(&table, *pid, *family);
            Watched {
                name: name.clone(),
                pid: *pid,
                cpu: after.cpu.saturating_sub(before.cpu),
                memory_before: before.memory,
                memory_after: after.memory,
            }
        };
        self.watched.iter().map(over).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    own_ticks: u64,
    reaped_ticks: u64,
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in parentheses and may hold anything, so fields are counted from the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let (before, after) = line.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        name: name.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: ticks(11)? + ticks(12)?,
        reaped_ticks: ticks(13)? + ticks(14)?,
    })
}

fn process_table() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, read_stat(pid)?))).collect()
}

fn usage(table: &HashMap<u32, Stat>, root: u32, with_family: bool) -> Usage {
    let mut sum = Usage::default();
    for pid in if with_family { family(table, root) } else { vec![root] } {
        let Some(stat) = table.get(&pid) else { continue };
        let ticks = stat.own_ticks + if with_family { stat.reaped_ticks } else { 0 };
        sum.cpu += TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        sum.memory += memory(pid);
    }
    sum
}

fn family(table: &HashMap<u32, Stat>, root: u32) -> Vec<u32> {
    let is_postgres = |pid: u32| table.get(&pid).is_some_and(|stat| stat.name.starts_with("postgres"));
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = table.iter().filter(|(_, stat)| stat.parent == parent).map(|(&pid, _)| pid);
        family.extend(children.filter(|&pid| is_postgres(root) || !is_postgres(pid)).collect::<Vec<u32>>());
        next += 1;
    }
    family
}

fn memory(pid: u32) -> u64 {
    let kib = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    kib("smaps_rollup", "Pss:").or_else(|| kib("status", "VmRSS:")).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (odd) name (x) S 7 42 42 0 -1 4194560 9 8 7 6 100 20 30 4 20 0 1 0 5 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            stat,
            Stat { name: "odd) name (x".to_owned(), parent: 7, own_ticks: 120, reaped_ticks: 34 }
        );
    }

    #[test]
    fn postgres_below_another_process_is_told_apart() {
        let stat = |name: &str, parent| Stat { name: name.to_owned(), parent, own_ticks: 1, reaped_ticks: 0 };
        let table = HashMap::from([
            (1, stat("doorcode", 0)),
            (2, stat("postgres", 1)),
            (3, stat("postgres", 2)),
            (4, stat("helper", 1)),
        ]);
        let sorted = |root| {
            let mut family = family(&table, root);
            family.sort_unstable();
            family
        };
        assert_eq!(sorted(1), [1, 4]);
        assert_eq!(sorted(2), [2, 3]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn work_shows_as_processor_time() {
        let mut watches = Watches::new(&[]).unwrap();
        watches.begin();
        let mut sum = 0_u64;
        while watches.end()[0].cpu < TICK * 3 {
            sum = (0..1_000_000_u64)
                .fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(std::hint::black_box(n)));
        }
        assert!(watches.end()[0].memory_after > 0);
        assert_eq!(Watches::new(&[u32::MAX]).err(), Some(u32::MAX));
    }
}
