"""The target table: what was wanted, what was measured, and how much it spread."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable


@dataclass
class Row:
    """One line. `values` has one figure per round."""

    part: str
    name: str
    unit: str
    values: list[float]
    target: str = ""
    meets: Callable[[float], bool] | None = None
    note: str = ""
    verdict: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.values = [value for value in self.values if value == value]
        if self.meets and self.values:
            self.verdict = "ok" if self.meets(self.median) else "MISSED"

    @property
    def median(self) -> float:
        return statistics.median(self.values) if self.values else float("nan")


def number(value: float) -> str:
    if value != value:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass
class Table:
    rows: list[Row] = field(default_factory=list)

    def add(self, *row, **named) -> Row:
        self.rows.append(Row(*row, **named))
        print(f"  {self.line(self.rows[-1])}", flush=True)
        return self.rows[-1]

    @staticmethod
    def line(row: Row) -> str:
        spread = f"{number(min(row.values))} to {number(max(row.values))}" if len(row.values) > 1 else ""
        text = f"{row.name:<58} {number(row.median):>9} {row.unit:<7} {spread:<20} {row.target:<22} {row.verdict}"
        return f"{text} {row.note}".rstrip()

    def print(self) -> None:
        part = None
        print(f"\n{'':<58} {'median':>9} {'':<7} {'spread':<20} {'target':<22}")
        for row in self.rows:
            if row.part != part:
                part = row.part
                print(f"\n{part}")
            print(f"  {self.line(row)[:200]}")
        missed = [row.name for row in self.rows if row.verdict == "MISSED"]
        print(f"\n{sum(row.verdict == 'ok' for row in self.rows)} targets met, {len(missed)} missed")

    def markdown(self) -> str:
        """As docs/PERFORMANCE.md shows it."""
        lines, part = [], None
        for row in self.rows:
            if row.part != part:
                part = row.part
                lines += ["", f"**{part}**", "", "| | median | spread | target | |", "|---|---|---|---|---|"]
            spread = f"{number(min(row.values))} to {number(max(row.values))}" if len(row.values) > 1 else ""
            name = row.name.strip() if row.name == row.name.strip() else f"– {row.name.strip()}"
            figure = f"{number(row.median)} {row.unit}".strip()
            lines.append(f"| {name} | {figure} | {spread} | {row.target} | {row.verdict} {row.note}".rstrip() + " |")
        return "\n".join(lines).strip() + "\n"

    def write(self, file: Path, about: dict) -> None:
        names = ("part", "name", "unit", "values", "median", "target", "verdict", "note")
        rows = [{name: getattr(row, name) for name in names} for row in self.rows]
        file.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
