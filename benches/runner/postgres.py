"""A private PostgreSQL with default durability, thrown away afterwards, and pgbench on it."""

from __future__ import annotations

import glob
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import procs

# The rest is as PostgreSQL ships it: fsync, synchronous_commit, full_page_writes and autovacuum on.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "max_wal_size": "2GB",
    "logging_collector": "off",
}
PLACES = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql*/bin"]


def programs() -> Path:
    """The folder of the newest PostgreSQL that has pgbench."""
    found = [Path(place) for pattern in PLACES for place in glob.glob(pattern)]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    found = [place for place in found if (place / "initdb").exists() and (place / "pgbench").exists()]
    if not found:
        raise SystemExit("no PostgreSQL with pgbench here: Debian has it in the package postgresql-contrib or postgresql")
    return max(found, key=lambda place: [int(part) for part in re.findall(r"\d+", str(place))])


@dataclass
class PgbenchResult:
    per_second: float
    p50_ms: float
    cpu_us: float
    """Processor time of Postgres per row."""


class Cluster:
    """Runs from construction until `stop`."""

    def __init__(self, home: Path, scripts: Path):
        self.bin, self.home, self.scripts = programs(), home, scripts
        self.run = home / "run"
        data = home / "data"
        # PostgreSQL refuses to run as root; Debian's package has made a user for it.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        for place in (data, self.run):
            place.mkdir(mode=0o700)
            if self.user:
                shutil.chown(place, "postgres")
        log = open(home / "postgres.log", "wb")
        initdb = [self.bin / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*self.user, *initdb], check=True, stdout=log, stderr=log)
        command = [*self.user, self.bin / "postgres", "-D", data, "-c", f"unix_socket_directories={self.run}"]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", self.run]).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"PostgreSQL does not start: see {home}/postgres.log")
            time.sleep(0.1)
        self.pid = int((data / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGINT)
            self.process.wait(60)

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.run}&user=postgres"

    def sql(self, database: str, text: str) -> str:
        command = [self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def script(self, database: str, file: Path) -> None:
        command = [self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-f", file]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def create(self, database: str) -> str:
        """A fresh database; answers its URL."""
        self.sql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.sql("postgres", f"CREATE DATABASE {database}")
        return self.url(database)

    def pgbench(self, script: str, clients: int, seconds: int, rows: int = 1) -> PgbenchResult:
        """One of `benches/reference/pgbench` against the database `floor`, prepared statements."""
        for old in glob.glob(str(self.home / "pgbench.*")):
            os.unlink(old)
        command = [self.bin / "pgbench", "-n", "-M", "prepared", "-f", self.scripts / f"{script}.sql", "-c", str(clients)]
        command += ["-j", str(min(clients, 2)), "-T", str(seconds), "-h", self.run, "-U", "postgres", "floor"]
        command += ["-l", f"--log-prefix={self.home}/pgbench"]
        if clients > 8:
            command.append("--sampling-rate=0.05")
        before = procs.cpu_seconds(self.pid)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        cpu = procs.cpu_seconds(self.pid) - before
        tps = float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M)[1])
        times = sorted(
            int(line.split()[2]) for log in glob.glob(str(self.home / "pgbench.*")) for line in open(log) if line.strip()
        )
        p50 = times[len(times) // 2] / 1000 if times else float("nan")
        return PgbenchResult(tps * rows, p50, cpu * 1e6 / (tps * seconds * rows))
