"""Watches a doorcode's own counters while load runs."""

from __future__ import annotations

import threading
import time

from services import Doorcode

LOGINS = "doorcode_http_requests_total"


class Sampler:
    """Takes the answered logins and the sent mails once a second, in a thread, until `stop`."""

    def __init__(self, doorcode: Doorcode):
        self.doorcode, self.samples = doorcode, []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due += 1
            try:
                self.samples.append((time.monotonic(), logins(self.doorcode), mails(self.doorcode)))
            except OSError:
                pass  # A scrape that the overloaded service did not answer is a gap, and no end.

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def rates(self, window: float, skip: float = 1.0) -> list[float]:
        """Logins per second in windows of so many seconds, beginning after the first `skip` seconds."""
        rates, start = [], None
        for at, count, _ in self.samples:
            if at - self.samples[0][0] < skip:
                continue
            if start is None:
                start = (at, count)
            elif at - start[0] >= window - 0.1:
                rates.append((count - start[1]) / (at - start[0]))
                start = (at, count)
        return rates


def logins(doorcode: Doorcode, status: str = "200") -> float:
    return doorcode.count(LOGINS, route="login", status=status)


def mails(doorcode: Doorcode) -> float:
    return doorcode.count("doorcode_mails_finished_total", outcome="sent")


def drained(doorcode: Doorcode, patience: float) -> float | None:
    """Seconds until no more mail leaves: three seconds without one. None: the patience ran out."""
    began, last, since = time.monotonic(), -1.0, time.monotonic()
    while time.monotonic() - began < patience:
        sent = mails(doorcode)
        if sent != last:
            last, since = sent, time.monotonic()
        elif time.monotonic() - since >= 3:
            return since - began
        time.sleep(0.25)
    return None


def plot(rates: list[float]) -> str:
    """One character a window, from nothing to the fastest: a fall shows at a glance."""
    steps, most = "▁▂▃▄▅▆▇█", max(rates, default=1) or 1
    return "".join(steps[min(int(rate / most * len(steps)), len(steps) - 1)] for rate in rates)
