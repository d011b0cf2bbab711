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
PORT = 18025


def measure(bench) -> None:
    url = services.prepare(bench.binary, bench.cluster, "mail")
    services.import_customers(bench.binary, url, bench.home, 0, 2 * AT_ONCE)
    for first, extension, target in ((0, "pipelining", 30), (AT_ONCE, "plain", 40)):
        through_relay(bench, url, first, extension, target)


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
