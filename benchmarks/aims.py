"""What this gateway aims at, against the fastest peer of the run, and why an aim is missed where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import SCRUB


@dataclass(frozen=True, slots=True)
class Aim:
    """``rows``: those that must all reach it; ``factor``: of the best peer's figure, less or more as the row is better;
    ``variant``: the setting of ours that counts; ``why``: what stands in the way, shown where it is missed."""

    text: str
    rows: Sequence[str]
    factor: float
    why: str
    variant: str = ""


_PYTHON = (
    "each request passes a signature check, a policy and the catalogue in Python: the processor's time for 10,000 of"
    " them tells the difference, and all cores are in use on both sides"
)
_KERNEL = "the best peer sends files by `sendfile` and reads nothing; beyond that the kernel's copying is the limit"

AIMS = (
    Aim(
        "1.5 x small GETs",
        ("4 KiB GET, 16 connections", "4 KiB GET, 128 connections"),
        1.5,
        f"{_PYTHON}; two Python processes that do nothing but check a signature, look up one row and read one file"
        " answered 22,000 a second on such a machine, which is less than this aim. Compiling these rooms (mypyc) took"
        " away a tenth: most of the time is in the objects of Python, not in its bytecode",
    ),
    Aim(
        "1.2 x small PUTs",
        ("4 KiB PUT, 16 connections", "4 KiB PUT, 128 connections"),
        1.2,
        f"{_PYTHON}; and ours are on the disk when they are answered",
    ),
    Aim(
        "1.5 x PUT of 64 MiB",
        ("64 MiB PUT, 1 connection", "64 MiB PUT, 8 connections"),
        1.5,
        "everybody computes one MD5 of the body, which one core does at some 700 MB/s; ours is synced as well",
    ),
    Aim(
        "4 x GET of 64 MiB, verify = scrub",
        ("64 MiB GET, 1 connection", "64 MiB GET, 8 connections"),
        4,
        _KERNEL,
        SCRUB,
    ),
    Aim(
        "2 x GET of 64 MiB, verify = always",
        ("64 MiB GET, 1 connection", "64 MiB GET, 8 connections"),
        2,
        f"every block is read and compared before it is sent, and {_KERNEL}",
    ),
    Aim("10 x pages of a listing", ("page of 1,000 out of",), 10, "most of a page is the XML of 1,000 keys"),
    Aim(
        "p99 below every peer's",
        ("4 KiB GET at half rate, p99",),
        1,
        "half of what a slower server can do is less load",
    ),
    Aim(
        "memory below every Go peer's at 1,000 connections",
        ("memory, 1,000 idle connections",),
        1,
        "Python with an idle Twisted takes 44 MiB, and what the workers share with their supervisor counts for each"
        " of them in this row; the next one counts it once",
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``ratios``: to the best peer, of each row; more is better where ``Aim.factor`` is more than 1."""

    aim: Aim
    ratios: Mapping[str, float]
    reached: bool


def judge(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Outcome]:
    """``lines``: as the run left them; ``names``: of the servers, ours first. Aims without figures are left out."""
    outcomes = []
    for aim in AIMS:
        chosen = [line for line in lines if _is_of(line["name"], aim.rows)]
        ratios = {line["name"]: figure for line in chosen if (figure := ratio(line, names, aim.variant)) is not None}
        if ratios:
            reached = all(
                figure >= aim.factor if line["more"] else figure < aim.factor
                for line in chosen
                if (figure := ratios.get(line["name"])) is not None
            )
            outcomes.append(Outcome(aim, ratios, reached))
    return outcomes


def ratio(line: Mapping[str, Any], names: Sequence[str], variant: str = "") -> float | None:
    """Our figure, or that of a variant of ours, in terms of the best peer's."""
    ours = line["variants"].get(variant) if variant else line["figures"].get(names[0])
    known = [line["figures"][name] for name in names[1:] if line["figures"].get(name)]
    if not ours or not known or line["more"] is None:
        return None
    return float(ours / (max(known) if line["more"] else min(known)))


def _is_of(name: str, rows: Sequence[str]) -> bool:
    return any(name == row or (row.endswith(" of") and name.startswith(row)) for row in rows)
