"""What it costs that somebody looks: an open page, a scrape and a poll a second, and a watching terminal."""

from __future__ import annotations

import random
import statistics
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import procs
from sampler import LOGINS, logins

PART = "Cost of observation, logins at full load, turns with and without it in one run"
CONNECTIONS = 256
TURN = 4.0
"""Seconds: long enough that each observer looks several times, short enough that the machine is the same in both of a pair."""


def measure(bench) -> None:
    """One load that never pauses; every pair of turns is in the other order than the one before, so drift meets both alike."""
    pairs = 10 if bench.quick else 45
    doorcode = bench.doorcode("observation", http__login_grid="0ms")
    at_rest(bench, doorcode, 10 if bench.quick else 30)
    command = bench.driver.command("login", doorcode.api, CONNECTIONS, 4 * TURN * pairs + 60)
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(3 * TURN)  # Connecting, warming up and the first rows are not meant.
        rates, costs, shares = [], [], []
        for pair in range(pairs):
            turns = {observed: turn(bench, doorcode, observed) for observed in ((True, False) if pair % 2 else (False, True))}
            more = [100 * (observed / plain - 1) for observed, plain in zip(turns[True], turns[False])]
            rates.append(-more[0])
            costs.append(more[1])
            shares.append(more[2])
            print(f"  pair {pair + 1} of {pairs}: " + ", ".join(f"{percent:+.1f} %" for percent in more), flush=True)
        if load.poll() is not None:
            raise SystemExit("the load ended before the last turn")
    finally:
        load.terminate()
        load.wait()
    failed = doorcode.count(LOGINS, route="login") - logins(doorcode)
    bench.stop(doorcode)
    for name, values in (
        ("more processor time of doorcode, to PostgreSQL's", shares),
        ("more processor time of doorcode a login", costs),
        ("logins lost to it and to the observers' own work", rates),
    ):
        note = f"median of {pairs} pairs and its 95 % interval"
        bench.table.add(PART, name, "%", interval(values), "≤ 2 %", lambda percent: percent <= 2, note=note)
    bench.table.add(PART, "failed calls", "", [failed], "0", lambda count: count == 0)


def turn(bench, doorcode, observed: bool) -> tuple[float, float, float]:
    """Logins a second; doorcode's processor time a login; and the same to PostgreSQL's, which nobody looks at: a slower
    second of the machine is in both. The two scrapes around a turn are in both kinds of turns."""
    pids = (doorcode.pid, bench.cluster.pid)
    count, used, began = logins(doorcode), [procs.exact_cpu_seconds(pid) for pid in pids], time.monotonic()
    observers = Observers(bench.binary, doorcode.ops) if observed else None
    time.sleep(TURN)
    ours, postgres = (procs.exact_cpu_seconds(pid) - before for pid, before in zip(pids, used))
    count, seconds = logins(doorcode) - count, time.monotonic() - began
    if observers:
        observers.stop()
    return count / seconds, ours / count, ours / postgres


def interval(values: list[float]) -> list[float]:
    """The median between the ends of its 95 % interval, by the bootstrap with a fixed seed."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2_000))
    return [medians[50], statistics.median(values), medians[-51]]


def at_rest(bench, doorcode, seconds: int) -> None:
    """The same work without load: few processor ticks, and nothing beside them."""
    used = {}
    for observed in (False, True):
        observers = Observers(bench.binary, doorcode.ops) if observed else None
        before = procs.cpu_seconds(doorcode.pid)
        time.sleep(seconds)
        used[observed] = (procs.cpu_seconds(doorcode.pid) - before) / seconds
        if observers:
            observers.stop()
    bench.table.add(PART, "processor time of doorcode at rest, observed", "ms/s", [1000 * (used[True] - used[False])])


class Observers:
    """Everything that looks at a doorcode, until `stop`."""

    def __init__(self, binary: Path, ops: str):
        self.ops, self.seen = ops, {"events": 0, "/metrics": 0, "/actors": 0, "watch": 0}
        self._ended = threading.Event()
        command = [binary, "actors", "--watch", "--url", ops]
        self._watch = subprocess.Popen(command, stdout=subprocess.PIPE)
        looks = [(self._page,), (self._poll, "/metrics"), (self._poll, "/actors"), (self._terminal,)]
        self._threads = [threading.Thread(target=look, args=more, daemon=True) for look, *more in looks]
        for thread in self._threads:
            thread.start()

    def _poll(self, path: str) -> None:
        """Once a second: Prometheus scrapes every 15 s as shipped."""
        while not self._ended.wait(1):
            urllib.request.urlopen(self.ops + path, timeout=10).read()
            self.seen[path] += 1

    def _page(self) -> None:
        """The live page's events, as a browser takes them."""
        while not self._ended.is_set():
            with urllib.request.urlopen(self.ops + "/events", timeout=10) as answer:
                for line in answer:
                    self.seen["events"] += line.startswith(b"data:")
                    if self._ended.is_set():
                        return

    def _terminal(self) -> None:
        for line in self._watch.stdout:
            self.seen["watch"] += line.startswith(b"\x1b[H")

    def stop(self) -> str:
        """What each of them saw: none may have slept."""
        self._ended.set()
        self._watch.terminate()
        self._watch.wait()
        for thread in self._threads:
            thread.join()
        if not all(self.seen.values()):
            raise SystemExit(f"somebody saw nothing: {self.seen}")
        return ", ".join(f"{who} {times}" for who, times in self.seen.items())
