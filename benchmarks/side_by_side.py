"""Runs tools alternately in one process and prints medians and ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tool:
    """What is timed, and what makes its argument anew before the clock starts."""

    call: Callable[..., Any]
    fresh: Callable[[], Any] | None = None

    def seconds(self) -> float:
        arguments = () if self.fresh is None else (self.fresh(),)
        start = time.perf_counter()
        result = self.call(*arguments)
        seconds = time.perf_counter() - start
        del result  # outside the clock
        return seconds


def compare(title: str, tools: Mapping[str, Tool], repeats: int = 5) -> dict[str, float]:
    """Print and return each tool's median; the first is what the others are compared with."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for tool in tools.values():
        tool.seconds()  # compiles, fills caches
    for _ in range(repeats):
        for name, tool in tools.items():
            seconds[name].append(tool.seconds())
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = next(iter(medians.values()))
    print(title)
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.4f} to {max(seconds[name]):.4f}"
        print(f"  {name:28} {median:10.4f} s   x {median / base:6.2f}   ({spread})", flush=True)
    return medians
