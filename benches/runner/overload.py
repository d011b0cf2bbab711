"""More load than the machine can serve: what is still served, how fast the rest is refused, who else notices."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import procs
import services
from growth import LOGIN, connection_to
from load import outcome

PART = "Overload"
FLOOD = 6_000


class Probe:
    """One caller on one connection: what it is answered, and when, until `stop`."""

    def __init__(self, api: str, tenant: str):
        self.api, self.tenant, self.answers = api, tenant, []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection, number = connection_to(self.api), 0
        while not self._ended.is_set():
            body = json.dumps({"email": f"probe{number}@example.com", "tenant_slug": self.tenant})
            number += 1
            began = time.monotonic()
            try:
                connection.request("POST", LOGIN, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                self.answers.append((answer.status, (time.monotonic() - began) * 1000))
            except OSError:
                connection.close()
            time.sleep(0.002)

    def stop(self) -> "Probe":
        self._ended.set()
        self._thread.join()
        return self

    def p99(self, status: int) -> float:
        times = sorted(ms for answered, ms in self.answers if answered == status)
        return times[len(times) * 99 // 100] if times else float("nan")


def measure(bench) -> None:
    doorcode = bench.doorcode("overload", http__login_grid="0ms")
    driver, table, seconds = bench.driver, bench.table, max(bench.seconds, 8)
    capacity = driver.run("login", doorcode.api, 256, seconds, [])
    table.add(PART, "capacity: 256 connections of closed load", "/s", [capacity.per_second])
    calm = under_load(driver, doorcode, 64, seconds)
    table.add(PART, "another tenant's p99 beside 64 connections", "ms", [calm["other"].p99(200)])
    flood = under_load(driver, doorcode, FLOOD, seconds)
    show(table, f"{FLOOD:,} connections of closed load", flood, capacity.per_second, calm)
    rate = int(capacity.per_second * 2)
    flood = under_load(driver, doorcode, 4_000, seconds, "--rate", rate)
    show(table, f"open load of {rate:,} a second, twice the capacity", flood, capacity.per_second, calm)
    table.add(PART, "memory afterwards", "MB", [procs.memory_mb(doorcode.pid)])
    bench.stop(doorcode)


def under_load(driver, doorcode, connections: int, seconds: float, *options) -> dict:
    """A run with one more caller of the same tenant and one of another beside it."""
    command = driver.command("login", doorcode.api, connections, seconds, "--timeout", "10s", *options)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(1.5)  # Connecting and warming up are not meant.
    probes = {name: Probe(doorcode.api, slug) for name, slug in (("same", services.TENANT), ("other", services.SECOND_TENANT))}
    report, _ = running.communicate()
    return {name: probe.stop() for name, probe in probes.items()} | {"load": outcome(report, "login", [])}


def show(table, name: str, flood: dict, capacity: float, calm: dict) -> None:
    load = flood["load"]
    goodput = load.per_second
    said = ", ".join(f"{count:,} {kind}" for kind, count in load.failed.items() if count)
    table.add(PART, f"{name}: served", "/s", [goodput], note=said)
    table.add(PART, "  to the capacity", "×", [goodput / capacity], "≥ 0.9 ×", lambda x: x >= 0.9)
    refused = flood["same"].p99(503)
    table.add(PART, "  a 503's p99", "ms", [refused], "≤ 50 ms", lambda ms: ms <= 50)
    other = flood["other"]
    table.add(PART, "  another tenant's p99", "ms", [other.p99(200)])
    table.add(PART, "    to the calm", "×", [other.p99(200) / calm["other"].p99(200)], "≤ 2 ×", lambda x: x <= 2)
    served = sum(status == 200 for status, _ in other.answers) / max(len(other.answers), 1)
    table.add(PART, "    of its calls served", "×", [served], "≥ 0.99", lambda x: x >= 0.99)
