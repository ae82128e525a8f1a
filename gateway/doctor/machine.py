"""The machine and the process: descriptors, memory, SQLite, stale pid files, the clock while we look."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from gateway.catalogue.soundness import sqlite_version
from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient

CLOCK = "timedatectl set-ntp true"
_FEW = 1024  # descriptors below which even a small site stops
_BESIDE = 64  # descriptors for the catalogue, logs and storage
_MIB = 1 << 20
_SPACE = 2048 * _MIB  # of addresses: every thread reserves some
_LITTLE, _TIGHT = 192 * _MIB, 384 * _MIB  # of memory


def look(patient: Patient) -> Iterator[Finding]:
    yield from _running(patient)
    yield _descriptors(patient)
    yield _memory(patient)
    version, sound = sqlite_version()
    if sound:
        yield Finding("sqlite", FINE, f"SQLite {version}")
    else:
        yield Finding(
            "sqlite",
            FAULT,
            f"SQLite {version} may corrupt a catalogue",
            "pip install --upgrade --upgrade-strategy eager txgateway",
        )


def jumped(seconds: float, most: float) -> Finding:
    """What the clock did while everything else was looked at: ``seconds`` that no other clock saw go by."""
    if abs(seconds) < most:
        return Finding("clock steady", FINE, "it ran evenly while we looked")
    fix = "one time service and no other: timedatectl; systemctl list-units '*ntp*' '*chrony*' '*timesync*'"
    return Finding("clock steady", WARNING, f"it was set by {seconds:+.1f} s while we looked", fix)


def _running(patient: Patient) -> Iterator[Finding]:
    if patient.served_by is None:
        yield Finding("running", FINE, "no gateway serves this now")
    else:
        who = f"process {patient.served_by}" if patient.served_by else "a process that does not say its number"
        yield Finding("running", FINE, f"served by {who}")
    for folder in dict.fromkeys((patient.folder, Path.cwd())):
        yield from _pid_file(folder / "twistd.pid", patient.served_by)


def _pid_file(path: Path, holder: int | None) -> Iterator[Finding]:
    """twistd refuses to start where its pid file names a living process, whosever it is."""
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return
    pid = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if pid and pid == holder:
        return
    if not Path(f"/proc/{pid}").exists():
        yield Finding("pid file", WARNING, f"{path} is left over from a process that is gone", f"rm {path}")
    elif holder is None or pid != holder:
        what = "" if not pid else f" ({_command(pid)})"
        seen = f"{path} names process {pid}{what}, which does not serve this"
        yield Finding("pid file", FAULT, f"{seen}: twistd will not start", f"rm {path}")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def _limit(patient: Patient, row: str, ours: int) -> int:
    """The soft limit of the process that serves, else of this one; -1: none."""
    if patient.served_by:
        try:
            text = Path(f"/proc/{patient.served_by}/limits").read_text()
        except OSError:
            text = ""
        found = re.search(rf"^{row} +(\S+)", text, re.MULTILINE)
        if found:
            return -1 if found[1] == "unlimited" else int(found[1])
    return resource.getrlimit(ours)[0]


def _descriptors(patient: Patient) -> Finding:
    soft = _limit(patient, "Max open files", resource.RLIMIT_NOFILE)
    wanted = (patient.values["connections"] if patient.values else 0) + _BESIDE
    fix = f"LimitNOFILE={max(65536, wanted)} in its systemd unit, or: ulimit -n {max(65536, wanted)}"
    if soft == -1 or soft >= wanted:
        return Finding("descriptors", FINE, f"{'any number of' if soft == -1 else soft} open files")
    seen = f"{soft} open files are allowed; connections = {wanted - _BESIDE} may need {wanted}"
    return Finding("descriptors", FAULT if soft < _FEW else WARNING, seen, fix)


def _memory(patient: Patient) -> Finding:
    space = _limit(patient, "Max address space", resource.RLIMIT_AS)
    if space != -1 and space < _SPACE:
        seen = f"{space // _MIB} MiB of addresses are allowed (ulimit -v); every thread reserves 64 and more"
        return Finding("memory", FAULT, seen, "ulimit -v unlimited (LimitAS=infinity; limit MemoryMax instead)")
    most = _group_memory(patient.served_by or os.getpid())
    if most is not None and most < _TIGHT:
        seen = f"{most // _MIB} MiB of memory are allowed by its control group"
        return Finding("memory", FAULT if most < _LITTLE else WARNING, seen, "MemoryMax=512M or more in its unit")
    return Finding("memory", FINE, "no limit that hurts")


def _group_memory(pid: int) -> int | None:
    """The smallest memory.max of the process's control groups (version 2), None where there is none."""
    try:
        group = re.search(r"^0::(/.*)$", Path(f"/proc/{pid}/cgroup").read_text(), re.MULTILINE)
    except OSError:
        return None
    found = []
    here = Path("/sys/fs/cgroup") / (group[1].strip("/") if group else "")
    for folder in (here, *here.parents):
        try:
            text = (folder / "memory.max").read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found, default=None)
