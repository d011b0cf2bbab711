"""Measures doorcode beside its references and prints the target table. See docs/PERFORMANCE.md."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import growth
import latency_of_mail
import observation
import overload
import services
import sustained
import throughput
from load import Driver
from postgres import Cluster
from table import Table

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "throughput": throughput.measure,
    "sustained": sustained.measure,
    "mail": latency_of_mail.measure,
    "overload": overload.measure,
    "observation": observation.measure,
    "memory": growth.measure_memory,
    "customers": growth.measure_customers,
    "tenants": growth.measure_tenants,
}


class Bench:
    """What the parts share: the Postgres, the binaries, how long to measure, where the figures go."""

    def __init__(self, options: argparse.Namespace, home: Path):
        self.quick, self.home, self.target = options.quick, home, options.target_dir
        self.rounds = options.rounds
        self.seconds = 4 if self.quick else 10
        self.codes = 9_000 if self.quick else 30_000
        self.customers = 200_000
        self.reference = ROOT / "benches" / "reference"
        self.binary = options.binary or self.target / "release" / "doorcode"
        self.table = Table()
        self.running: list[services.Service] = []
        self.cluster = Cluster(home, self.reference / "pgbench")
        self.cluster.create("floor")
        self.cluster.script("floor", self.reference / "pgbench" / "schema.sql")
        self.driver = Driver(self.binary, self.customers)
        checked = subprocess.run([self.binary, "check-config"], capture_output=True, text=True).stdout
        # An older doorcode may lack a setting; it is then measured as it is.
        self.known_settings = checked.replace(".", "__")

    def doorcode(self, name: str, url: str = "", relay_port: int | None = None, **settings: str) -> services.Doorcode:
        """A doorcode on a database of its own with all customers, unless a URL says otherwise."""
        if not url:
            url = services.prepare(self.binary, self.cluster, name)
            services.import_customers(self.binary, url, self.home, 0, self.customers)
            self.cluster.sql(name, "ANALYZE")
        settings = {key: value for key, value in settings.items() if key in self.known_settings}
        service = services.Doorcode(self.binary, url, self.home, relay_port, **settings)
        self.keep(service)
        return service

    def keep(self, *running: services.Service) -> None:
        self.running.extend(running)

    def stop(self, service: services.Service) -> None:
        service.stop()
        self.running.remove(service)

    def close(self) -> None:
        for service in self.running:
            service.stop()
        self.cluster.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/end_to_end", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="minutes instead of an hour: short runs, small imports")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of what is compared [3]")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="and as the tables of docs/PERFORMANCE.md")
    parser.add_argument("--binary", type=Path, metavar="FILE", help="another doorcode than the one just built")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    parser.add_argument("--target-dir", type=Path, default=ROOT / "target", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def about(bench: Bench, options: argparse.Namespace) -> dict:
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    postgres = subprocess.run([bench.cluster.bin / "postgres", "--version"], capture_output=True, text=True)
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit.stdout.strip(),
        "postgres": postgres.stdout.strip(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "quick": options.quick,
        "rounds": options.rounds,
    }


def main() -> int:
    options = arguments()
    # On a disk: /tmp may be memory, where a commit costs nothing.
    home = Path(tempfile.mkdtemp(prefix="doorcode-bench-", dir="/var/tmp"))
    home.chmod(0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options, home)
    facts = about(bench, options)
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    try:
        for part in options.only.split(","):
            print(f"\n{part}", flush=True)
            PARTS[part](bench)
    finally:
        bench.close()
        bench.table.print()
        if options.json:
            bench.table.write(options.json, facts)
        if options.markdown:
            options.markdown.write_text(bench.table.markdown())
        if options.keep:
            print(f"logs: {home}")
        else:
            shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
