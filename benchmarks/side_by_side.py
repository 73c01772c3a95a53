"""Runs peers alternately in one process and prints medians and ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def compare(title: str, tools: Mapping[str, Callable[[], object]], repeats: int = 5) -> None:
    """The first tool is what the others are compared with."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for tool in tools.values():
        tool()  # compiles, fills caches
    for _ in range(repeats):
        for name, tool in tools.items():
            start = time.perf_counter()
            tool()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = next(iter(medians.values()))
    print(title)
    for name, median in medians.items():
        print(f"  {name:28} {median:10.4f} s   x {median / base:.2f}")
