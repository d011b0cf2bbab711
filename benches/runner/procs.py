"""What processes cost, from /proc: processor time and memory of a process with its descendants."""

from __future__ import annotations

import os
import re
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Fields after the command's name, which may hold spaces: [0] state, [1] parent, [11..15) processor ticks."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))):
            children.setdefault(int(stat[1]), []).append(int(name))
    return children


def family(pid: int) -> list[int]:
    """The process and everything below it."""
    children, found, todo = _children(), [], [pid]
    while todo:
        found.append(todo.pop())
        todo.extend(children.get(found[-1], []))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the family, children that have ended included."""
    total = 0
    for member in family(pid):
        if stat := _stat(member):
            total += sum(int(ticks) for ticks in stat[11:15])
    return total / TICKS


def exact_cpu_seconds(pid: int) -> float:
    """User and system time of the family that lives, to the nanosecond where `cpu_seconds` has ticks of 10 ms.

    The clock's number is what clock_getcpuclockid(3) gives for another process.
    """
    total = 0.0
    for member in family(pid):
        try:
            total += time.clock_gettime(~member << 3 | 2)
        except OSError:
            pass
    return total


def memory_mb(pid: int) -> float:
    """Resident memory of the family, shared pages counted in proportion."""
    kib = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup") as file:
                found = re.search(r"^Pss:\s+(\d+) kB", file.read(), re.M)
                kib += int(found[1]) if found else 0
        except OSError:
            pass
    return kib / 1024
