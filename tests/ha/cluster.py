"""A fleet as docs/DEPLOY.md and docs/SCALING.md have it, on ports of loopback: etcd, three nodes of Patroni, two replicas of
doorcode, HAProxy before them. Patroni's and HAProxy's files are those of deploy/, with other addresses."""

from __future__ import annotations

import base64
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "of-this-run-alone"
TENANT = "acme"
PATRONI_API = "Basic " + base64.b64encode(f"patroni:{PASSWORD}".encode()).decode()
# All load comes from one machine: limits that count callers would end it.
LIMITS_OFF = {f"DOORCODE__LIMITS__{which}__ENABLED": "false" for which in ("CLIENT", "TENANT", "ADDRESS")}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(what: str, seconds: float, test) -> float:
    """How long it took."""
    began = time.monotonic()
    while not test():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


def changed(name: str, changes: dict[str, str]) -> str:
    """A file of deploy/; each of these texts must be in it."""
    text = (ROOT / "deploy" / name).read_text()
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"deploy/{name} has no {old!r} any more: tests/ha/cluster.py has to follow")
        text = text.replace(old, new)
    return text


def get(url: str, data: dict | None = None) -> tuple[int, str]:
    """0 where nobody answers."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    if data is not None:
        request.add_header("authorization", PATRONI_API)
    try:
        with urllib.request.urlopen(request, timeout=2 if data is None else 60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Process:
    """In a session of its own, so that what it starts is ended with it."""

    def __init__(self, command: list, log: Path, env: dict[str, str] | None = None, user: str = ""):
        if user and os.geteuid() == 0:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/tmp",
                env=os.environ | (env or {}), start_new_session=True,
            )  # fmt: skip
        self.log, self.pid = log, self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Node:
    """Patroni and its PostgreSQL."""

    def __init__(self, home: Path, number: int, etcd: int):
        self.name, self.home = f"pg{number}", home / f"pg{number}"
        self.port, self.rest = free_ports(2)
        self.data = self.home / "data"
        self.home.mkdir()
        bin_dir = max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda place: int(re.findall(r"\d+", place)[0]))
        certificate(self.home)
        settings = changed(
            "patroni.yml",
            {
                "name: pg1": f"name: {self.name}",
                '"0.0.0.0:8008"': f'"127.0.0.1:{self.rest}"',
                '"10.0.0.21:8008"': f'"127.0.0.1:{self.rest}"',
                "10.0.0.31:2379,10.0.0.32:2379,10.0.0.33:2379": f"127.0.0.1:{etcd}",
                '"0.0.0.0:5432"': f'"127.0.0.1:{self.port}"',
                '"10.0.0.21:5432"': f'"127.0.0.1:{self.port}"',
                "/var/lib/postgresql/15/doorcode": str(self.data),
                "/usr/lib/postgresql/15/bin": bin_dir,
                "/etc/postgresql/server.crt": str(self.home / "server.crt"),
                "/etc/postgresql/server.key": str(self.home / "server.key"),
                "/var/run/postgresql": str(self.home),
                "10.0.0.0/8": "127.0.0.0/8",
                "CHANGE": PASSWORD,
                # this machine has to stay up
                "mode: automatic": 'mode: "off"',
            },
        )
        (self.home / "patroni.yml").write_text(settings)
        if os.geteuid() == 0:
            for place in [self.home, *self.home.iterdir()]:
                shutil.chown(place, "postgres")
        self.start()

    def start(self) -> None:
        # where it keeps its .pgpass
        env = {"HOME": str(self.home)}
        self.patroni = Process(["patroni", self.home / "patroni.yml"], self.home / "log", env, user="postgres")

    def pids(self) -> list[int]:
        """Of Patroni, the postmaster, and its children: each has a session of its own."""
        found = [self.patroni.pid, *children(self.patroni.pid)]
        try:
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            if str(self.data) in Path(f"/proc/{postmaster}/cmdline").read_text():
                found += [postmaster, *children(postmaster)]
        except (OSError, IndexError):
            pass
        return found

    def signal(self, number: int) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self) -> None:
        self.signal(signal.SIGKILL)
        self.patroni.process.wait()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def certificate(place: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=pg"
    files = ["-keyout", place / "server.key", "-out", place / "server.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    (place / "server.key").chmod(0o600)


class Fleet:
    """Everything. `stop` ends what was started here, and nothing else."""

    def __init__(self, home: Path, binary: Path):
        self.home, self.binary = home, binary
        self.nodes: list[Node] = []
        self.replicas: list[Process | None] = [None, None]
        self.others: list[Process] = []
        client, peer, self.public, self.relay, *ports = free_ports(8)
        self.ports = [ports[:2], ports[2:]]
        self.etcd_ports = client, peer

    def start(self, customers: int) -> None:
        self.start_etcd()
        # one makes the cluster, the others follow it
        for number in (1, 2, 3):
            self.nodes.append(Node(self.home, number, self.etcd_ports[0]))
            if number == 1:
                wait_until("a first primary", 60, lambda: get(f"http://127.0.0.1:{self.nodes[0].rest}/primary")[0] == 200)
        self.healthy()
        self.sql("postgres", f"CREATE ROLE doorcode LOGIN PASSWORD '{PASSWORD}'")
        self.sql("postgres", "CREATE DATABASE doorcode OWNER doorcode")
        self.doorcode("migrate")
        self.doorcode("tenant", "add", TENANT, "--name", "Acme")
        file = self.home / "customers.csv"
        file.write_text("email\n" + "".join(f"user{n}@example.com\n" for n in range(customers)))
        self.doorcode("customer", "import", TENANT, str(file))
        for number in (0, 1):
            self.start_replica(number)
        self.start_haproxy()

    # ---- parts

    def start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in self.etcd_ports)
        command = ["etcd", "--data-dir", self.home / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self.etcd = Process(command, self.home / "etcd.log")
        self.others.append(self.etcd)
        wait_until("etcd", 30, lambda: get(f"{client}/health")[0] == 200)

    def start_haproxy(self) -> None:
        (api1, ops1), (api2, ops2) = self.ports
        settings = changed(
            "haproxy.cfg",
            {
                "maxconn 20000": "maxconn 400",
                "bind :443 ssl crt /etc/haproxy/login.pem alpn h2,http/1.1": f"bind 127.0.0.1:{self.public}",
                "server one 10.0.0.11:8080": f"server one 127.0.0.1:{api1} check port {ops1}",
                "server two 10.0.0.12:8080": f"server two 127.0.0.1:{api2} check port {ops2}",
            },
        )
        file = self.home / "haproxy.cfg"
        file.write_text(settings)
        self.others.append(Process(["haproxy", "-db", "-f", file], self.home / "haproxy.log"))
        public = f"http://127.0.0.1:{self.public}/.well-known/jwks.json"
        wait_until("HAProxy and a replica behind it", 30, lambda: get(public)[0] == 200)

    def start_replica(self, number: int) -> None:
        api, ops = self.ports[number]
        env = self.environment() | LIMITS_OFF
        env |= {
            "DOORCODE__PUBLIC_URL": "https://login.doorcode.internal",
            "DOORCODE__HTTP__LISTEN": f"127.0.0.1:{api}",
            "DOORCODE__OPS__LISTEN": f"127.0.0.1:{ops}",
            "DOORCODE__HTTP__TRUSTED_PROXIES": "127.0.0.1",
            "DOORCODE__MAIL__FROM": "login@doorcode.internal",
            "DOORCODE__MAIL__SMTP__HOST": "127.0.0.1",
            "DOORCODE__MAIL__SMTP__PORT": str(self.relay),
            "DOORCODE__MAIL__SMTP__TLS": "none",
        }
        self.replicas[number] = Process([self.binary, "serve"], self.home / f"doorcode{number + 1}.log", env)
        wait_until(f"replica {number + 1} ready", 60, lambda: get(f"http://127.0.0.1:{ops}/readyz")[0] == 200)

    def environment(self) -> dict[str, str]:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return {
            "DATABASE_URL": f"postgres://doorcode:{PASSWORD}@{hosts}/doorcode?sslmode=require",
            "DOORCODE__MASTER_KEY__VALUE": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }

    def doorcode(self, *arguments: str) -> str:
        done = subprocess.run([self.binary, *arguments], env=os.environ | self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"doorcode {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout

    def sql(self, database: str, text: str) -> None:
        url = f"postgres://postgres:{PASSWORD}@127.0.0.1:{self.primary().port}/{database}?sslmode=require"
        subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text], check=True, stdout=subprocess.DEVNULL)

    # ---- how it is

    def members(self) -> list[dict]:
        for node in self.nodes:
            status, text = get(f"http://127.0.0.1:{node.rest}/cluster")
            if status == 200:
                return json.loads(text)["members"]
        return []

    def role(self, role: str) -> list[Node]:
        names = [member["name"] for member in self.members() if member["role"] == role and member["state"] in ("running", "streaming")]
        return [node for node in self.nodes if node.name in names]

    def primary(self) -> Node:
        return self.role("leader")[0]

    def healthy(self) -> float:
        """A primary, a synchronous standby and another one."""

        def whole() -> bool:
            return [len(self.role(role)) for role in ("leader", "sync_standby", "replica")] == [1, 1, 1]

        return wait_until("three nodes of Patroni in order", 120, whole)

    def ask_patroni(self, node: Node, path: str, data: dict) -> None:
        status, text = get(f"http://127.0.0.1:{node.rest}/{path}", data)
        if status not in (200, 202):
            raise SystemExit(f"Patroni refused {path}: {status} {text}")

    def stop(self) -> None:
        for process in [*self.replicas, *self.others]:
            if process:
                process.stop(signal.SIGKILL)
        for node in self.nodes:
            node.stop()
