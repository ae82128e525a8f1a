"""What is measured of one S3 server. A row gives one figure or some that belong together; the runner repeats it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import held, large, small
from benchmarks.bench import Bench

ONE, SCRUB, MEMORY = "workers = 1", "verify = scrub", "backend = memory"


@dataclass(frozen=True, slots=True)
class Figure:
    """``more``: whether a larger one is better, None where it is neither. Names may show the run's Sizes."""

    name: str
    unit: str
    more: bool | None = True


@dataclass(frozen=True, slots=True)
class Row:
    """``variants``: other settings of this gateway that it is measured with as well; ``most``: repeats, at most."""

    figures: tuple[Figure, ...]
    measure: Callable[[Bench], Sequence[float]]
    variants: tuple[str, ...] = ()
    most: int = 100


def _with_cpu(name: str) -> tuple[Figure, ...]:
    return Figure(name, "1/s"), Figure(f"processor for 10,000: {name}", "s", more=False)


def _memory(name: str) -> tuple[Figure, ...]:
    once = f"{name}, shared pages once"
    return Figure(f"memory, {name}", "MiB", more=False), Figure(f"memory, {once}", "MiB", more=False)


ROWS = (
    Row(_with_cpu("4 KiB GET, 16 connections"), small.gets(16), (ONE, SCRUB, MEMORY)),
    Row(_with_cpu("4 KiB GET, 128 connections"), small.gets(128), (ONE, SCRUB)),
    Row(_with_cpu("4 KiB PUT, 16 connections"), small.puts(16), (ONE, MEMORY)),
    Row(_with_cpu("4 KiB PUT, 128 connections"), small.puts(128), (ONE,)),
    Row(_with_cpu("HEAD, 16 connections"), small.heads, (ONE,)),
    Row((Figure("64 MiB GET, 1 connection", "MiB/s"),), large.gets(1), (SCRUB,)),
    Row((Figure("64 MiB GET, 8 connections", "MiB/s"),), large.gets(8), (ONE, SCRUB)),
    Row((Figure("64 MiB PUT, 1 connection", "MiB/s"),), large.puts(1)),
    Row((Figure("64 MiB PUT, 8 connections", "MiB/s"),), large.puts(8), (ONE,)),
    Row((Figure("{upload:,} MiB in 16 MiB parts by aws-cli", "MiB/s"),), large.by_aws_cli, most=3),
    Row((Figure("{upload:,} MiB in 16 MiB parts by rclone", "MiB/s"),), large.by_rclone, most=3),
    Row((Figure("page of 1,000 out of {listed:,} keys", "1/s"),), small.pages),
    Row((Figure("{deleted:,} keys deleted, 1,000 a call", "keys/s"),), small.deletes, most=3),
    Row(
        (
            Figure("half of the most 4 KiB GETs", "1/s", more=None),
            Figure("4 KiB GET at half rate, p50", "ms", more=False),
            Figure("4 KiB GET at half rate, p99", "ms", more=False),
            Figure("4 KiB GET at half rate, p99.9", "ms", more=False),
        ),
        small.at_half_rate,
        (ONE,),
    ),
    Row((Figure("syncs for 100 PUTs", "calls", more=None),), small.synced, most=1),
    Row((Figure("memory, most in all rows above", "MiB", more=False),), held.at_most, (ONE,), most=1),
    Row((Figure("start, {listed:,} keys", "s", more=False),), lambda bench: (bench.restart(),), most=3),
    Row(_memory("idle"), held.with_idle(0), (ONE,), most=1),
    Row(_memory("1,000 idle connections"), held.with_idle(1000), (ONE,), most=1),
    Row(_memory("{half_open:,} half-open connections"), held.with_half_open, (ONE,), most=1),
)
