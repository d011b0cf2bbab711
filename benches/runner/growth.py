"""What grows with what: memory with connections and tenants, cost with customers and tenants."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import procs
import services

MEMORY = "Memory"
GROWTH = "How the cost of a login grows"
LOGIN = "/v1/customer-auth/login"
# Addresses that ask in the end, where 10,000 asked before.
ASKING = 200_000


def measure_memory(bench) -> None:
    url = services.prepare(bench.binary, bench.cluster, "memory")
    services.import_customers(bench.binary, url, bench.home, 0, 10_000)
    doorcode = bench.doorcode("memory", url)
    table = bench.table
    ask(doorcode.api, [services.TENANT] * 20)
    time.sleep(2)
    idle = procs.memory_mb(doorcode.pid)
    table.add(MEMORY, "idle", "MB", [idle], "≤ 40 MB", lambda mb: mb <= 40)
    tenants = 2_000 if bench.quick else 5_000
    add_tenants(bench, "memory", tenants)
    ask(doorcode.api, [f"tenant-{i}" for i in range(tenants)])
    per_tenant = (procs.memory_mb(doorcode.pid) - idle) * 1024 / tenants
    table.add(MEMORY, f"an active tenant, of {tenants:,}", "KB", [per_tenant], "≤ 10 KB", lambda kb: kb <= 10)
    bench.stop(doorcode)
    doorcode = bench.doorcode("memory", url)
    ask(doorcode.api, [services.SECOND_TENANT] * 20)
    before = procs.memory_mb(doorcode.pid)
    with many_connections(doorcode, 4_000):
        held = procs.memory_mb(doorcode.pid)
    table.add(MEMORY, "4,000 connections that have logged in and wait", "MB", [held], "≤ 150 MB", lambda mb: mb <= 150)
    table.add(MEMORY, "  a connection", "KB", [(held - before) * 1024 / 4_000], "≤ 20 KB", lambda kb: kb <= 20)
    bench.driver.run("login", doorcode.api, 4_000, bench.seconds, [], "--timeout", "10s")
    table.add(MEMORY, "after 4,000 connections in a closed loop", "MB", [procs.memory_mb(doorcode.pid)])
    bench.stop(doorcode)


def connection_to(api: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(api.removeprefix("http://"), timeout=30)


def login(connection: http.client.HTTPConnection, number: int, tenant: str) -> None:
    body = json.dumps({"email": f"user{number}@example.com", "tenant_slug": tenant})
    connection.request("POST", LOGIN, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"a login of tenant {tenant} was answered {answer.status}")


def ask(api: str, tenants: list[str]) -> None:
    """One login each, over 16 connections."""

    def share(first: int) -> None:
        connection = connection_to(api)
        for number in range(first, len(tenants), 16):
            login(connection, number, tenants[number])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(share, range(16)))


@contextmanager
def many_connections(doorcode: services.Doorcode, count: int):
    """So many keep-alive connections, each after one login of nobody's address: mails kept in memory would count in."""
    connections = [connection_to(doorcode.api) for _ in range(count)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda pair: login(pair[1], pair[0], services.SECOND_TENANT), enumerate(connections)))
    yield
    for connection in connections:
        connection.close()


def add_tenants(bench, database: str, count: int) -> None:
    """tenant-0 and on, as `tenant add` makes them, but in one statement: copies of the first tenant."""
    columns = bench.cluster.sql(
        database,
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attrelid = 'tenants'::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('tenant_id', 'slug')",
    )
    bench.cluster.sql(
        database,
        f"INSERT INTO tenants (tenant_id, slug, {columns}) SELECT gen_random_uuid(), 'tenant-' || i, {columns}"
        f" FROM tenants, generate_series(0, {count - 1}) i WHERE slug = '{services.TENANT}'",
    )


def cost(bench, doorcode, *options) -> float:
    """Processor time of doorcode and Postgres for a login, the median of the rounds."""
    pids = [doorcode.pid, bench.cluster.pid]
    rounds = [bench.driver.run("login", doorcode.api, 256, bench.seconds, pids, *options) for _ in range(bench.rounds)]
    return statistics.median(sum(load.cpu_us) for load in rounds)


def measure_customers(bench) -> None:
    """The same 10,000 addresses ask each time; only the number of customers around them grows. In the end more of them ask."""
    sizes = (10_000, 200_000) if bench.quick else (10_000, 100_000, 1_000_000, 5_000_000)
    url = services.prepare(bench.binary, bench.cluster, "growth")
    doorcode = bench.doorcode("growth", url, http__login_grid="0ms")
    have, costs = 0, []
    for size in sizes:
        seconds = services.import_customers(bench.binary, url, bench.home, have, size - have)
        have = size
        costs.append(cost(bench, doorcode, "--email-count", sizes[0]))
        note = f"import {seconds:.1f} s"
        bench.table.add(GROWTH, f"{size:,} customers, doorcode + Postgres", "µs", [costs[-1]], note=note)
    growth = costs[-1] / costs[0] - 1
    bench.table.add(GROWTH, "from the first to the last", "", [growth], "≤ 0.15", lambda x: x <= 0.15)
    most = cost(bench, doorcode, "--email-count", ASKING)
    bench.table.add(GROWTH, f"{have:,} customers, {ASKING:,} of whom ask", "µs", [most], note="most for the first time")
    bench.stop(doorcode)


def measure_tenants(bench) -> None:
    """One tenant, then thousands that ask in turn."""
    tenants = 1_000 if bench.quick else 5_000
    doorcode = bench.doorcode("tenants", http__login_grid="0ms")
    add_tenants(bench, "tenants", tenants)
    one = cost(bench, doorcode)
    many = cost(bench, doorcode, "--tenant", "tenant-{}", "--tenant-count", tenants)
    bench.table.add(GROWTH, "1 tenant, doorcode + Postgres", "µs", [one])
    bench.table.add(GROWTH, f"{tenants:,} tenants, doorcode + Postgres", "µs", [many])
    bench.table.add(GROWTH, "from one to many", "", [many / one - 1], "≤ 0.15", lambda x: x <= 0.15)
    bench.stop(doorcode)
