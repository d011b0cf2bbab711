"""The load: `doorcode loadtest` as a child process, its JSON report read back."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services import TENANT


@dataclass
class Load:
    """What one call of a run came to."""

    per_second: float
    p50_ms: float
    p99_ms: float
    answered: int
    failed: dict[str, int]
    cpu_us: list[float]
    """Processor time per request of each watched process, in the order given."""
    report: dict


class Driver:
    """Hands out addresses, so that no run meets the codes of another."""

    def __init__(self, binary: Path, addresses: int):
        self.binary, self.addresses, self.next = binary, addresses, 0

    def fresh(self, count: int) -> int:
        """The first of `count` numbers that no run has had."""
        if self.next + count > self.addresses:
            self.next = 0
        self.next += count
        return self.next - count

    def command(self, scenario: str, target: str, connections: int, seconds: float, *options) -> list[str]:
        command = [self.binary, "loadtest", scenario, "--target", target, "--metrics", "off", "--json"]
        command += [] if "--tenant" in options else ["--tenant", TENANT]
        command += ["-c", connections, "-d", f"{int(seconds * 1000)}ms", *options]
        return [str(part) for part in command]

    def run(self, scenario: str, target: str, connections: int, seconds: float, pids: list[int], *options) -> Load:
        watch = [part for pid in pids for part in ("--pid", pid)]
        command = self.command(scenario, target, connections, seconds, *watch, *options)
        done = subprocess.run(command, capture_output=True, text=True)
        if not done.stdout.strip():
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return outcome(done.stdout, scenario, pids)

    def verify(self, target: str, connections: int, count: int, pids: list[int], *options) -> Load:
        """Codes for `count` addresses are asked for first; only their exchange is measured."""
        first = self.fresh(count)
        addresses = ["--email-start", first, "--email-count", count, "--warm-up", "0s"]
        return self.run("verify", target, connections, 60, pids, *addresses, *options)


def outcome(text: str, scenario: str, pids: list[int]) -> Load:
    report = json.loads(text)
    call = next(call for call in report["calls"] if call["call"] == scenario)
    by_pid = {process["pid"]: process["cpu_us_per_request"] for process in report["processes"]}
    latency = call["latency_ms"]
    return Load(
        call["rate_per_s"],
        latency["p50"],
        latency["p99"],
        call["answered"],
        call["failed"],
        [by_pid.get(pid) or 0.0 for pid in pids],
        report,
    )
