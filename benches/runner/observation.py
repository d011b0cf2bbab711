"""What it costs that somebody looks: an open page, a scrape and a poll a second, and a watching terminal."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import procs

PART = "Cost of observation, logins at full load, turns with and without it in one run"
CONNECTIONS = 256


def measure(bench) -> None:
    """Pairs of short turns, each pair in the other order than the one before: what drifts meets both alike."""
    pairs, seconds = (3, 4) if bench.quick else (12, 10)
    doorcode = bench.doorcode("observation", http__login_grid="0ms")
    pids = [doorcode.pid, bench.cluster.pid]
    at_rest(bench, doorcode, 10 if bench.quick else 30)
    bench.driver.run("login", doorcode.api, CONNECTIONS, seconds, pids)
    rates, costs, failed = [], [], 0
    for pair in range(pairs):
        turn = {}
        for observed in (False, True) if pair % 2 else (True, False):
            observers = Observers(bench.binary, doorcode.ops) if observed else None
            load = bench.driver.run("login", doorcode.api, CONNECTIONS, seconds, pids)
            if observers:
                print(f"  pair {pair + 1} of {pairs}: {observers.stop()}", flush=True)
            turn[observed] = load
            failed += sum(load.failed.values())
        rates.append(1 - turn[True].per_second / turn[False].per_second)
        costs.append(turn[True].cpu_us[0] / turn[False].cpu_us[0] - 1)
    bench.stop(doorcode)
    for name, values in (("logins lost to it and to the observers' own work", rates), ("more processor time of doorcode a login", costs)):
        bench.table.add(PART, name, "%", [100 * value for value in values], "≤ 2 %", lambda percent: percent <= 2)
    bench.table.add(PART, "failed calls", "", [failed], "0", lambda count: count == 0)


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
