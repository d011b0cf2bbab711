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


def measure(bench) -> None:
    url = services.prepare(bench.binary, bench.cluster, "mail")
    services.import_customers(bench.binary, url, bench.home, 0, 2 * AT_ONCE)
    for first, extension, target in ((0, "pipelining", 30), (AT_ONCE, "plain", 40)):
        through_relay(bench, url, first, extension, target)
    at_rates(bench, url)


def through_relay(bench, url: str, first: int, extension: str, target: int) -> None:
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
    doorcode = bench.doorcode("mail", url, PORT)
    began = time.time()
    addresses = ["--email-start", first, "--email-count", AT_ONCE, "--count", AT_ONCE, "--warm-up", "0s"]
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


def at_rates(bench, url: str) -> None:
    """The load tester is the relay, which answers at once: every login's mail is waited for and timed."""
    doorcode = bench.doorcode("mail", url, SINK_PORT)
    seconds = 10 if bench.quick else 30
    sink = ["--smtp-sink", f"127.0.0.1:{SINK_PORT}", "--mail-wait", "30s", "--email-count", 2 * AT_ONCE]
    closed = bench.driver.run("login", doorcode.api, 256, seconds, [], *sink)
    bench.table.add(PART, "logins with their mails over SMTP, closed load", "/s", [closed.per_second])
    show(bench.table, "  ", closed.report)
    seventy = int(closed.per_second * 0.7)
    for name, rate in ((f"{seventy:,} logins a second, 70 % of that", seventy), (f"from nothing to {STEP:,} a second", STEP)):
        load = bench.driver.run("login", doorcode.api, 2_048, seconds, [], *sink, "--rate", rate, "--warm-up", "0s")
        bench.table.add(PART, f"{name}: served", "/s", [load.per_second])
        show(bench.table, "  ", load.report, "≤ 1 s", lambda ms: ms <= 1_000)
    bench.stop(doorcode)


def show(table, indent: str, report: dict, *target) -> None:
    latency = next((call["latency_ms"] for call in report["calls"] if call["call"] == "mail"), None)
    if latency:
        table.add(PART, f"{indent}request to mail, p50", "ms", [latency["p50"]])
        table.add(PART, f"{indent}request to mail, p99", "ms", [latency["p99"]], *target)
    for fate in ("lost", "doubled"):
        table.add(PART, f"{indent}{fate}", "", [report["mail"][fate]], "0", lambda count: count == 0)
