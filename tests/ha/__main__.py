"""Breaks a real cluster under load and says what customers saw of it. See docs/SCALING.md, "High availability"."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from cluster import ROOT, Fleet
from promises import RATE, Sessions, Watch

# seconds: of load before something is broken, and after service must be back
BEFORE, TTL = 4, 20


def switchover(fleet: Fleet) -> None:
    leader, candidate = fleet.primary(), fleet.role("sync_standby")[0]
    fleet.ask_patroni(leader, "switchover", {"leader": leader.name, "candidate": candidate.name})


def kill_primary(fleet: Fleet) -> None:
    """Its node comes back half a minute later."""
    node = fleet.primary()
    node.stop()
    time.sleep(TTL + 15)
    node.start()


def freeze_primary(fleet: Fleet) -> None:
    """Patroni and PostgreSQL say nothing, then go on as if nothing had been."""
    node = fleet.primary()
    node.signal(signal.SIGSTOP)
    time.sleep(TTL + 20)
    node.signal(signal.SIGCONT)


def restart_replicas(fleet: Fleet) -> None:
    for number in (0, 1):
        fleet.replicas[number].stop()
        fleet.start_replica(number)
        time.sleep(4)


def restart_postgres(fleet: Fleet) -> None:
    """Standbys first; the primary is none any more when its turn comes."""
    leader = fleet.primary()
    for node in (*fleet.role("replica"), *fleet.role("sync_standby")):
        fleet.ask_patroni(node, "restart", {})
        fleet.healthy()
    switchover(fleet)
    fleet.healthy()
    fleet.ask_patroni(leader, "restart", {})


def stop_etcd(fleet: Fleet) -> None:
    """For longer than Patroni's ttl: `failsafe_mode` is what keeps the primary."""
    fleet.etcd.stop(signal.SIGKILL)
    time.sleep(TTL + 15)
    fleet.start_etcd()


# What is done, for how many seconds load runs, how many seconds without service are borne, whether a call may fail.
CASES = {
    "switchover": (switchover, 25, 15, True),
    "primary killed": (kill_primary, 60, TTL + 20, True),
    "primary frozen": (freeze_primary, 70, TTL + 20, True),
    "etcd stopped": (stop_etcd, 60, 3, True),
    "PostgreSQL restarted": (restart_postgres, 90, 15, True),
    "replicas restarted": (restart_replicas, 30, 3, False),
}


def broken_promises(case: str, result: dict) -> list[str]:
    _, _, borne, may_fail = CASES[case]
    gap = max(result["seconds_without_logins"], result["seconds_without_refreshes"])
    checks = {
        f"no service for {gap} s, more than {borne}": gap > borne,
        f"{result['mails_lost']} mails lost": result["mails_lost"] > 0,
        f"{result['logged_out']} sessions logged out": result["logged_out"] > 0,
        f"{result['status_5xx']} answers 5xx": result["status_5xx"] > 0 and not may_fail,
        f"failed calls: {result['other_failures']}": bool(result["other_failures"]) and not may_fail,
    }
    return [f"{case}: {text}" for text, broken in checks.items() if broken]


COLUMNS = {
    "seconds_without_logins": "s without logins",
    "seconds_without_refreshes": "s without refreshes",
    "logins_mailed": "logins mailed",
    "mails_lost": "lost",
    "mails_doubled": "doubled",
    "logged_out": "logged out",
    "calls": "calls",
    "status_5xx": "5xx",
    "no_answer": "no answer",
}


def table(results: dict[str, dict]) -> str:
    lines = ["| case | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for case, result in results.items():
        lines.append(f"| {case} | " + " | ".join(f"{result[key]:,}" for key in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/ha", description=__doc__)
    parser.add_argument("--only", default=",".join(CASES), metavar="CASE,...", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--keep", action="store_true", help="keep settings, logs and data")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "debug" / "doorcode", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = options.only.split(",")
    if unknown := set(cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    # On a disk: /tmp may be memory, where a commit costs nothing.
    home = Path(tempfile.mkdtemp(prefix="doorcode-ha-", dir="/var/tmp"))
    home.chmod(0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    fleet, watch, results, broken = Fleet(home, options.binary.resolve()), None, {}, []
    try:
        fleet.start(2_000 + sum(RATE * CASES[case][1] + 1000 for case in cases))
        sessions, next_customer = Sessions(fleet), 1_000
        for case in cases:
            act, seconds, _, _ = CASES[case]
            print(f"{case}: {seconds} s of load", file=sys.stderr, flush=True)
            watch = Watch(fleet, sessions, seconds, next_customer)
            next_customer = watch.next_customer
            time.sleep(BEFORE)
            act(fleet)
            results[case] = watch.result() | {"seconds_until_whole_again": round(fleet.healthy(), 1)}
            broken += broken_promises(case, results[case])
    finally:
        if watch:
            watch.give_up()
        fleet.stop()
        if options.keep or sys.exc_info()[0] is SystemExit:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps({"cases": results, "broken": broken}, indent=1) + "\n")
    for text in broken:
        print(f"BROKEN: {text}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
