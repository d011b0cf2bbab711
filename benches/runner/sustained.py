"""A burst that lasts: customers imported just before, quiet spells in which autovacuum comes by, and load again."""

from __future__ import annotations

import statistics
import time

import procs
import services
from sampler import Sampler, drained, logins, mails, plot

PART = "A burst that lasts, 1,024 connections, the answer grid as shipped"
CUSTOMERS = 100_000
WINDOW = 5


def measure(bench) -> None:
    # Autovacuum looks at a database once a minute: a quiet spell must be longer than that to be one.
    bursts, seconds, quiet = (2, 20, 10) if bench.quick else (3, 200, 70)
    url = services.prepare(bench.binary, bench.cluster, "sustained")
    doorcode = bench.doorcode("sustained", url)
    bench.table.add(
        PART, f"import of {CUSTOMERS:,} customers", "s", [services.import_customers(bench.binary, url, bench.home, 0, CUSTOMERS)]
    )
    rates: list[float] = []
    before = (procs.cpu_seconds(doorcode.pid), procs.cpu_seconds(bench.cluster.pid))
    failed = 0
    for burst in range(bursts):
        if burst:
            time.sleep(quiet)
        print(f"  burst {burst + 1} of {bursts}, {seconds} s", flush=True)
        sampler = Sampler(doorcode)
        # Known and unknown addresses, three to one: both leave due mail behind until it is resolved.
        addresses = ["--email-count", CUSTOMERS + CUSTOMERS // 3, "--timeout", "10s"]
        load = bench.driver.run("login", doorcode.api, 1024, seconds, [], *addresses)
        sampler.stop()
        failed += sum(load.failed.values())
        rates += sampler.rates(WINDOW)
    report(bench, doorcode, rates, before, failed)
    bench.stop(doorcode)


def report(bench, doorcode, rates: list[float], before: tuple[float, float], failed: int) -> None:
    table = bench.table
    answered = logins(doorcode)
    settled = drained(doorcode, 90)
    median = statistics.median(rates)
    table.add(PART, f"logins in windows of {WINDOW} s", "/s", rates, note=plot(rates))
    table.add(PART, "the slowest window to the median", "×", [min(rates) / median], "≥ 0.8 ×", lambda x: x >= 0.8)
    table.add(PART, "failed calls", "", [failed], "0", lambda count: count == 0)
    for name, pid, start in (("doorcode", doorcode.pid, before[0]), ("Postgres", bench.cluster.pid, before[1])):
        used = (procs.cpu_seconds(pid) - start) * 1e6 / max(answered, 1)
        table.add(PART, f"{name} a login, quiet spells and vacuum included", "µs", [used], "≤ 24 µs", lambda us: us <= 24)
    # Logins of one address that meet in a flush share one mail; unknown addresses get none.
    table.add(PART, "mails sent", "", [mails(doorcode)], note=f"for {answered:,.0f} logins, every fourth of them unknown")
    last = float("nan") if settled is None else settled
    table.add(PART, "last mail after the last answer", "s", [last], note="" if settled is not None else "not within 90 s")
    table.add(PART, "memory at the end", "MB", [procs.memory_mb(doorcode.pid)])
