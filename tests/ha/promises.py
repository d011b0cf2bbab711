"""What customers see meanwhile: logins at a steady rate, sessions that are refreshed, and somebody who looks all the time."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from cluster import TENANT, Fleet

RATE = 50
PROBERS = 4
# a tenant has five test codes
SESSIONS = 5


class Caller:
    """One keep-alive connection, as a browser's."""

    def __init__(self, port: int):
        self.port, self.connection = port, None

    def post(self, path: str, body: dict) -> tuple[int, dict]:
        """Status 0: no answer."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            self.connection.request("POST", f"/v1/customer-auth/{path}", json.dumps(body), {"content-type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.status == 200 and text else {}
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            return 0, {}


@dataclass
class Seen:
    """Of one kind of call."""

    answered: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)

    def note(self, status: int) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.answered.append(time.monotonic())

    def longest_gap(self) -> float:
        times = sorted(self.answered)
        return max((after - before for before, after in zip(times, times[1:])), default=float("inf"))


class Sessions:
    """Customers who are logged in for the whole of the run. Their codes are test codes: no mail is needed."""

    def __init__(self, fleet: Fleet):
        self.callers = [Caller(fleet.public) for _ in range(SESSIONS)]
        self.tokens, self.ended = [], [False] * SESSIONS
        for number, caller in enumerate(self.callers):
            who = {"email": f"user{number}@example.com", "tenant_slug": TENANT}
            said = fleet.doorcode("customer", "test-code", TENANT, who["email"], "--days", "1").split()
            code = next(word for word in said if len(word) == 6 and word.isalnum() and word == word.upper())
            assert caller.post("login", who)[0] == 200
            status, answer = caller.post("token", who | {"code": code})
            assert status == 200, f"a test code was answered {status}"
            self.tokens.append(answer["refresh_token"])

    def refresh(self, number: int, seen: Seen) -> None:
        status, answer = self.callers[number].post("refresh", {"refresh_token": self.tokens[number]})
        seen.note(status)
        if status == 200:
            self.tokens[number] = answer["refresh_token"]
        elif status == 401:
            self.ended[number] = True


class Watch:
    """From construction to `result`."""

    def __init__(self, fleet: Fleet, sessions: Sessions, seconds: int, first_customer: int):
        self.sessions, self.over = sessions, threading.Event()
        self.logins, self.refreshes = Seen(), Seen()
        customers = RATE * seconds + 1000
        self.next_customer = first_customer + customers
        load = f"loadtest login --json --metrics off --warm-up 0s --rate {RATE} -c 64 -d {seconds}s --timeout 5s --mail-wait 60s"
        command = [fleet.binary, *load.split(), "--target", f"http://127.0.0.1:{fleet.public}", "--tenant", TENANT]
        command += ["--smtp-sink", f"127.0.0.1:{fleet.relay}", "--email-start", str(first_customer), "--email-count", str(customers)]
        self.load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
        self.threads = [threading.Thread(target=self.probe, args=(fleet.public, n)) for n in range(PROBERS)]
        self.threads += [threading.Thread(target=self.hold, args=(n,)) for n in range(SESSIONS)]
        for thread in self.threads:
            thread.start()

    def probe(self, port: int, number: int) -> None:
        """Logins of nobody's address: the service does the same for them, but for the mail."""
        caller, count = Caller(port), 0
        while not self.over.wait(0.1):
            count += 1
            email = f"nobody{number}-{count}-{time.monotonic_ns()}@example.com"
            self.logins.note(caller.post("login", {"email": email, "tenant_slug": TENANT})[0])

    def hold(self, number: int) -> None:
        while not self.over.wait(0.05) and not self.sessions.ended[number]:
            self.sessions.refresh(number, self.refreshes)

    def give_up(self) -> None:
        self.over.set()
        self.load.kill()
        self.load.wait()

    def result(self) -> dict:
        text, errors = self.load.communicate()
        self.over.set()
        for thread in self.threads:
            thread.join()
        if not text.strip():
            raise SystemExit(f"the load run failed:\n{errors[-2000:]}")
        report = json.loads(text)
        call = next(call for call in report["calls"] if call["call"] == "login")
        failed = Counter(call["failed"]) + Counter(
            {f"status_{status}" if status else "closed": count for seen in (self.logins, self.refreshes)
             for status, count in seen.statuses.items() if status != 200}
        )  # fmt: skip
        server = sum(count for kind, count in failed.items() if kind.startswith("status_5"))
        # once more, each: who cannot is logged out
        for number, ended in enumerate(self.sessions.ended):
            if not ended:
                self.sessions.refresh(number, Seen())
        return {
            "seconds_without_logins": round(self.logins.longest_gap(), 1),
            "seconds_without_refreshes": round(self.refreshes.longest_gap(), 1),
            "calls": call["sent"] + sum((self.logins.statuses + self.refreshes.statuses).values()),
            "status_5xx": server,
            "no_answer": sum(failed[kind] for kind in ("closed", "connect", "timeout", "protocol", "body")),
            "other_failures": {kind: count for kind, count in failed.items() if not kind.startswith("status_5")},
            "logins_mailed": report["mail"]["expected"],
            "mails_lost": report["mail"]["lost"],
            "mails_doubled": report["mail"]["doubled"],
            "logged_out": sum(self.sessions.ended),
        }
