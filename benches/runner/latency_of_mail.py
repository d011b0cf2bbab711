"""From the request to the mail: through a slow relay, and at rates that come suddenly."""

from __future__ import annotations

import collections
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import services
from sampler import mails

PART = "From the request to the mail"
AT_ONCE = 10_000
DELAY_MS = 50
PORT, SINK_PORT = 18025, 18026
STEP = 20_000
SECONDS = 10


def measure(bench) -> None:
    for extension, target in (("pipelining", 30), ("plain", 40)):
        through_relay(bench, extension, target)
    at_rates(bench)


def fresh(bench, customers: int) -> str:
    """A database without mails that an earlier run left due: they would count as doubled."""
    url = services.prepare(bench.binary, bench.cluster, "mail")
    services.import_customers(bench.binary, url, bench.home, 0, customers)
    return url


def through_relay(bench, extension: str, target: int) -> None:
    """10,000 customers ask within a second; the relay needs 50 ms for each reply."""
    file = bench.home / f"relay-{extension}.json"
    relay = services.Service(
        "the slow relay",
        [sys.executable, Path(__file__).with_name("smtp_relay.py"), str(PORT), str(DELAY_MS), extension, file],
        bench.home / "relay.log",
        {},
        stdout=subprocess.PIPE,
        text=True,
    )
    bench.keep(relay)
    if relay.process.stdout.readline().strip() != "ready":
        raise relay.failed()
    # Twice as many addresses: a connection that is ahead of the others must not come to its first one again.
    doorcode = bench.doorcode("mail", fresh(bench, 2 * AT_ONCE), PORT)
    began = time.time()
    addresses = ["--email-count", 2 * AT_ONCE, "--count", AT_ONCE, "--warm-up", "0s"]
    load = bench.driver.run("login", doorcode.api, 256, 60, [], *addresses)
    deadline = time.time() + (120 if bench.quick else 600)
    while mails(doorcode) < load.answered and time.time() < deadline:
        time.sleep(0.5)
    time.sleep(1)
    bench.stop(doorcode)
    relay.process.send_signal(signal.SIGTERM)
    relay.process.wait(10)
    bench.stop(relay)
    report(bench.table, extension, target, began, load.answered, json.loads(file.read_text()))


def report(table, extension: str, target: int, began: float, asked: int, relay: dict) -> None:
    words = "with PIPELINING" if extension == "pipelining" else "without PIPELINING"
    times = sorted(at - began for at, _ in relay["mails"])
    last = times[-1] if len(times) >= asked else float("inf")
    name = f"{AT_ONCE:,} logins at once, {DELAY_MS} ms a reply {words}: last mail"
    note = "" if len(times) >= asked else f"only {len(times):,} came"
    table.add(PART, name, "s", [last], f"≤ {target} s", lambda seconds: seconds <= target, note=note)
    if times:
        table.add(PART, "  p50 from the first request", "s", [times[len(times) // 2]])
        table.add(PART, "  p99", "s", [times[len(times) * 99 // 100]])
    table.add(PART, "  connections to the relay", "", [relay["connections"]], "≤ 64", lambda count: count <= 64)
    per_address = collections.Counter(recipient for _, recipient in relay["mails"])
    table.add(PART, "  lost", "", [asked - len(per_address)], "0", lambda count: count == 0)
    table.add(PART, "  doubled", "", [len(times) - len(per_address)], "0", lambda count: count == 0)


def at_rates(bench) -> None:
    """The load tester is the relay, which answers at once: every login's mail is waited for and timed."""
    closed = timed(bench, "logins with their mails over SMTP, closed load", 256)
    seventy = int(closed * 0.7)
    for name, rate in ((f"{seventy:,} logins a second, 70 % of that", seventy), (f"from nothing to {STEP:,} a second", STEP)):
        timed(bench, f"{name}: served", 2_048, "--rate", rate, "--warm-up", "0s")


def timed(bench, name: str, connections: int, *options) -> float:
    # No address asks twice: a mail that another code has replaced is not sent, and the next one would be taken for it.
    addresses = STEP * SECONDS
    doorcode = bench.doorcode("mail", fresh(bench, addresses), SINK_PORT)
    sink = ["--smtp-sink", f"127.0.0.1:{SINK_PORT}", "--mail-wait", "30s", "--email-count", addresses]
    load = bench.driver.run("login", doorcode.api, connections, SECONDS, [], *sink, *options)
    bench.stop(doorcode)
    target = ("≤ 1 s", lambda ms: ms <= 1_000) if options else ()
    bench.table.add(PART, name, "/s", [load.per_second])
    latency = next((call["latency_ms"] for call in load.report["calls"] if call["call"] == "mail"), None)
    if latency:
        bench.table.add(PART, "  request to mail, p50", "ms", [latency["p50"]])
        bench.table.add(PART, "  request to mail, p99", "ms", [latency["p99"]], *target)
    for fate in ("lost", "doubled"):
        bench.table.add(PART, f"  {fate}", "", [load.report["mail"][fate]], "0", lambda count: count == 0)
    return load.per_second
