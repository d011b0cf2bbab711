"""The services that are measured, each a process of its own with a log file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from postgres import Cluster

# All load comes from one machine and one list of addresses: limits that count callers would end it. Guess budgets stay.
LIMITS_OFF = {f"DOORCODE__LIMITS__{which}__ENABLED": "false" for which in ("CLIENT", "TENANT", "ADDRESS")}
TENANT = "bench"
SECOND_TENANT = "other"


class Service:
    """A running program."""

    def __init__(self, name: str, command: list, log: Path, env: dict[str, str], **popen):
        self.name, self.log = name, log
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                command, stderr=file, env=os.environ | env, start_new_session=True, stdin=subprocess.DEVNULL, **popen
            )
        self.pid = self.process.pid

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def failed(self) -> SystemExit:
        return SystemExit(f"{self.name} does not start; the end of {self.log}:\n{self.log.read_text()[-2000:]}")


class Doorcode(Service):
    """`doorcode dev` (mails rendered and kept in memory), or `serve` when a relay's port is given."""

    def __init__(self, binary: Path, url: str, home: Path, relay_port: int | None = None, **settings: str):
        env = environment(url) | LIMITS_OFF | {f"DOORCODE__{key.upper()}": value for key, value in settings.items()}
        env |= {"DOORCODE__HTTP__LISTEN": "127.0.0.1:0", "DOORCODE__OPS__LISTEN": "127.0.0.1:0"}
        env["DOORCODE__LOG__LEVEL"] = settings.get("log__level", "warn")
        command: list = [binary, "dev", "--data-dir", home / "dev"]
        if relay_port is not None:
            command = [binary, "serve"]
            env |= {
                "DOORCODE__PUBLIC_URL": "https://login.doorcode.internal",
                "DOORCODE__MAIL__FROM": "login@doorcode.internal",
                "DOORCODE__MAIL__SMTP__HOST": "127.0.0.1",
                "DOORCODE__MAIL__SMTP__PORT": str(relay_port),
                "DOORCODE__MAIL__SMTP__TLS": "none",
            }
        super().__init__("doorcode", command, home / "doorcode.log", env, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if not ready.startswith("ready"):
            raise self.failed()
        self.api, self.ops = (re.search(rf"{name} (http://[\d.:]+)", ready)[1] for name in ("api", "ops"))

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name with labels."""
        with urllib.request.urlopen(f"{self.ops}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def count(self, family: str, **labels: str) -> float:
        """The sum of a counter's samples that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        samples = self.metrics().items()
        return sum(v for name, v in samples if name.startswith(family + "{") and all(label in name for label in wanted))


def environment(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "DOORCODE__MASTER_KEY__VALUE": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}


def command(binary: Path, url: str, *arguments: str) -> str:
    """Another doorcode command on the same database."""
    done = subprocess.run(
        [binary, *arguments], env=os.environ | environment(url), check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"doorcode {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def prepare(binary: Path, cluster: Cluster, database: str) -> str:
    """A migrated database with the two tenants and no customers; answers its URL."""
    url = cluster.create(database)
    command(binary, url, "migrate")
    for slug in (TENANT, SECOND_TENANT):
        command(binary, url, "tenant", "add", slug, "--name", slug)
    return url


def import_customers(binary: Path, url: str, home: Path, first: int, count: int, tenant: str = TENANT) -> float:
    """user{first}@example.com and on; answers the seconds that the import took."""
    file = home / "customers.csv"
    with open(file, "w") as out:
        out.write("email\n")
        out.writelines(f"user{i}@example.com\n" for i in range(first, first + count))
    began = time.monotonic()
    command(binary, url, "customer", "import", tenant, str(file))
    return time.monotonic() - began


class FastApi(Service):
    """The reference, as tuned as it gets: two workers, uvloop, httptools."""

    def __init__(self, venv: Path, source: Path, cluster: Cluster, home: Path, customers: int, port: int = 18002):
        url = cluster.create("fastapi")
        cluster.script("fastapi", source / "schema.sql")
        cluster.sql(
            "fastapi",
            f"INSERT INTO tenants (slug) VALUES ('{TENANT}');"
            "INSERT INTO customers (tenant_id, email) SELECT t.id, 'user' || i || '@example.com'"
            f" FROM tenants t, generate_series(0, {customers - 1}) i; ANALYZE",
        )
        self.codes = home / "codes"
        self.codes.mkdir(exist_ok=True)
        arguments = f"app:app --port {port} --workers 2 --loop uvloop --http httptools --no-access-log --log-level warning"
        super().__init__(
            "the FastAPI reference",
            [venv / "bin" / "uvicorn", *arguments.split(), "--backlog", "2048"],
            home / "fastapi.log",
            {"DATABASE_URL": url, "CODES_DIR": str(self.codes)},
            cwd=source,
            stdout=subprocess.DEVNULL,
        )
        self.api = f"http://127.0.0.1:{port}"
        wait_until_it_answers(self)

    def code_files(self) -> list[Path]:
        return sorted(self.codes.glob("codes.*.txt"))


class WarpEcho(Service):
    """What HTTP alone costs."""

    def __init__(self, binary: Path, home: Path, port: int = 18080):
        super().__init__("the warp echo", [binary, str(port)], home / "echo.log", {}, stdout=subprocess.DEVNULL)
        self.api = f"http://127.0.0.1:{port}"
        wait_until_it_answers(self)


def wait_until_it_answers(service) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(service.api, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            if service.process.poll() is not None or time.monotonic() > deadline:
                raise service.failed() from None
            time.sleep(0.1)
