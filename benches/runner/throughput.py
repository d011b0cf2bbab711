"""What each call bears and costs, beside the references, in interleaved rounds."""

from __future__ import annotations

from collections import defaultdict

from services import Doorcode, FastApi, WarpEcho

PART = "Throughput, closed loop, rounds interleaved"
PLURAL = {"login": "logins", "verify": "verifies", "refresh": "refreshes"}


def measure(bench) -> None:
    """Every service stays up over all rounds; the ones that are not asked do next to nothing."""
    doorcode = bench.doorcode("throughput", http__login_grid="0ms")
    fastapi = FastApi(bench.target / "fastapi", bench.reference / "fastapi", bench.cluster, bench.home, bench.customers)
    echo = WarpEcho(bench.target / "reference" / "release" / "warp-echo", bench.home)
    bench.keep(fastapi, echo)
    figures: dict[str, list[float]] = defaultdict(list)
    for number in range(bench.rounds):
        print(f"  round {number + 1} of {bench.rounds}", flush=True)
        floor(bench, figures)
        references(bench, figures, fastapi, echo)
        ours(bench, figures, doorcode)
    for service in (fastapi, echo, doorcode):
        bench.stop(service)
    report(bench.table, figures)


def floor(bench, figures) -> None:
    for script, clients, rows in (("upsert_1", 1, 1), ("upsert_1", 32, 1), ("upsert_64", 8, 64), ("guess_1", 32, 1)):
        result = bench.cluster.pgbench(script, clients, bench.seconds, rows)
        figures[f"{script} {clients}"].append(result.per_second)
        figures[f"{script} {clients} cpu"].append(result.cpu_us)
        figures[f"{script} {clients} p50"].append(result.p50_ms)


def references(bench, figures, fastapi: FastApi, echo: WarpEcho) -> None:
    driver, postgres = bench.driver, bench.cluster.pid
    note(figures, "echo", driver.run("login", echo.api, 256, bench.seconds, [echo.pid]))
    pids = [fastapi.pid, postgres]
    codes = [part for file in fastapi.code_files() for part in ("--codes-file", file)]
    note(figures, "fastapi login", driver.run("login", fastapi.api, 256, bench.seconds, pids))
    note(figures, "fastapi verify", driver.verify(fastapi.api, 64, bench.codes // 3, pids, *codes))
    with_codes = ["--email-start", driver.fresh(64), "--email-count", 64, *codes]
    note(figures, "fastapi refresh", driver.run("refresh", fastapi.api, 64, bench.seconds, pids, *with_codes))


def ours(bench, figures, doorcode: Doorcode) -> None:
    driver, pids = bench.driver, [doorcode.pid, bench.cluster.pid]
    note(figures, "login 256", driver.run("login", doorcode.api, 256, bench.seconds, pids))
    for connections in (64, 256):
        note(figures, f"verify {connections}", driver.verify(doorcode.api, connections, bench.codes, pids))
    for connections in (64, 256, 8, 4, 2, 1):
        fresh = ["--email-start", driver.fresh(connections), "--email-count", connections]
        seconds = bench.seconds if connections > 8 else 2
        note(figures, f"refresh {connections}", driver.run("refresh", doorcode.api, connections, seconds, pids, *fresh))
    for connections in (8, 4, 2, 1):
        note(figures, f"verify {connections}", driver.verify(doorcode.api, connections, 250 * connections, pids))
        note(figures, f"login {connections}", driver.run("login", doorcode.api, connections, 2, pids))


def note(figures, name: str, load) -> None:
    if load.failed:
        print(f"  {name}: failed {load.failed}", flush=True)
    figures[name].append(load.per_second)
    figures[f"{name} p50"].append(load.p50_ms)
    figures[f"{name} p99"].append(load.p99_ms)
    for position, cpu in enumerate(load.cpu_us):
        figures[f"{name} cpu {position}"].append(cpu)


def ratio(figures, above: str, below: str) -> list[float]:
    return [a / b if b else float("nan") for a, b in zip(figures[above], figures[below])]


def report(table, figures) -> None:
    def show(name: str, unit: str, key: str, *target, note: str = "") -> None:
        table.add(PART, name, unit, figures[key], *target, note=note)

    show("pgbench, one row a statement, 32 clients", "/s", "upsert_1 32")
    show("  Postgres a row", "µs", "upsert_1 32 cpu")
    show("pgbench, 64 rows a statement, 8 clients", "/s", "upsert_64 8")
    show("  Postgres a row", "µs", "upsert_64 8 cpu")
    show("pgbench, one guess a statement, 32 clients", "/s", "guess_1 32")
    show("warp echo, 256 connections", "/s", "echo")
    show("  warp a request", "µs", "echo cpu 0")
    for call, connections in (("login", 256), ("verify", 64), ("refresh", 64)):
        show(f"FastAPI {PLURAL[call]}, {connections} connections", "/s", f"fastapi {call}")
        show("  FastAPI a request", "µs", f"fastapi {call} cpu 0")
        show("  Postgres a request", "µs", f"fastapi {call} cpu 1")
    targets = {"login 256": ("≤ 24 µs", lambda us: us <= 24)}
    for name in ("login 256", "verify 64", "verify 256", "refresh 64", "refresh 256"):
        call, connections = name.split()
        show(f"doorcode {PLURAL[call]}, {connections} connections", "/s", name)
        show("  p99", "ms", f"{name} p99")
        show("  doorcode a request", "µs", f"{name} cpu 0", *targets.get(name, ()))
        show("  Postgres a request", "µs", f"{name} cpu 1", *targets.get(name, ()))
    for name, above, below, least in (
        ("logins to pgbench's single rows", "login 256", "upsert_1 32", 2),
        ("logins to FastAPI's", "login 256", "fastapi login", 10),
        ("verifies to FastAPI's, 64 connections", "verify 64", "fastapi verify", 7),
        ("refreshes to FastAPI's, 64 connections", "refresh 64", "fastapi refresh", 9),
    ):
        table.add(PART, name, "×", ratio(figures, above, below), f"≥ {least} ×", lambda x, least=least: x >= least)
    show("one durable commit, 1 client, p50", "ms", "upsert_1 1 p50")
    for call in ("verify", "refresh", "login"):
        for connections in (1, 2, 4, 8):
            key = f"{call} {connections} p50"
            show(f"{call} p50, {connections} connections", "ms", key)
            target = ("≤ 3 ×", lambda x: x <= 3) if call != "login" else ()
            table.add(PART, "  to one durable commit", "×", ratio(figures, key, "upsert_1 1 p50"), *target)
