"""Where data, logs and bytes lie: what kind of disk, how much room, whose they are and who may read them."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient
from gateway.sqlitefile import MOUNTS, is_network, kind_of_disk

FLEETING = frozenset(("tmpfs", "ramfs"))
_MIB = 1 << 20
_NONE, _LITTLE = 64 * _MIB, 1024 * _MIB  # free bytes that stop a gateway, and that soon will
_BIG_LOG = 4096 * _MIB


def look(patient: Patient) -> Iterator[Finding]:
    values = patient.values
    if values is None:
        return
    named = {key: values[key] for key in ("data", "log")}
    for place in patient.reading.places:
        paths = [value for value in place.values.values() if isinstance(value, Path)]
        named |= {f"location {place.name}": path for path in paths if path.is_dir()}
    found = [
        *_kinds(named),
        *_room(named),
        *_writable(named),
        *_owners(patient, named),
        *_modes(patient, named),
    ]
    yield from found
    if not found:
        yield Finding(
            "folders", FINE, f"{', '.join(map(str, named.values()))}: local, ours, closed to others, with room"
        )


# ---------------------------------------------------------------- what kind of disk


def _kinds(named: dict[str, Path]) -> Iterator[Finding]:
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return
    for name, path in named.items():
        kind, point = kind_of_disk(path, mounts)
        if name == "data" and is_network(kind):
            seen = f"{path} is on a network disk ({kind} at {point}): SQLite's locks do not hold there"
            fix = f"stop the gateway, then: cp -a {path} /var/lib/gateway-data; set data = /var/lib/gateway-data"
            yield Finding("network disk", FAULT, seen, fix)
        databases = sorted(path.glob("*.sqlite")) if name.startswith("location ") and is_network(kind) else []
        if databases:
            seen = f"{databases[0]} is on a network disk ({kind} at {point}): SQLite's locks do not hold there"
            fix = f"stop the gateway, then: cp -a {path} /var/lib/gateway-{path.name}; change {name} to it"
            yield Finding("network disk", FAULT, seen, fix)
        if name != "log" and kind in FLEETING:
            seen = f"{path} is in memory ({kind} at {point}): it is gone after the next boot"
            fix = f"stop the gateway, then: cp -a {path} /var/lib/gateway-{path.name}; change {name} to it"
            yield Finding("memory disk", FAULT, seen, fix)


# ---------------------------------------------------------------- room


def _room(named: dict[str, Path]) -> Iterator[Finding]:
    seen: set[int] = set()
    for name, path in named.items():
        try:
            there = os.statvfs(path)
            device = os.stat(path).st_dev
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        free, whole = there.f_bavail * there.f_frsize, there.f_blocks * there.f_frsize
        fix = f"make room: du -xh {path} | sort -h | tail; or grow the disk"
        text = f"{path} ({name}): {free // _MIB} of {whole // _MIB} MiB are free"
        if whole and free < min(_NONE, whole // 50):
            yield Finding("disk full", FAULT, text, fix)
        elif whole and free < min(_LITTLE, whole // 20):
            yield Finding("disk nearly full", WARNING, text, fix)
        if there.f_files and there.f_favail < min(1000, there.f_files // 50):
            text = f"{path} ({name}): {there.f_favail} of {there.f_files} files are left"
            yield Finding("disk full", FAULT, text, f"make room: find {path} -xdev | wc -l; or grow the disk")
    log = named["log"] / "access.log"
    if log.is_file() and log.stat().st_size > _BIG_LOG:
        size = log.stat().st_size // _MIB
        yield Finding("log size", WARNING, f"{log} has {size} MiB", f"rotate it: mv {log} {log}.1; gzip {log}.1")


def _writable(named: dict[str, Path]) -> Iterator[Finding]:
    """A file is written and taken away again, as the gateway would."""
    for name in ("data", "log"):
        path = named[name]
        if not path.exists():
            if not path.parent.is_dir():
                yield Finding(
                    "folder missing", FAULT, f"{path} ({name}): there is no {path.parent}", f"mkdir -p {path}"
                )
            continue
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        except OSError as fault:
            yield Finding("folder unwritable", FAULT, f"{path} ({name}): {fault.strerror}", _mend(path, fault))


def _mend(path: Path, fault: OSError) -> str:
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"make room: du -xh {path} | sort -h | tail"
    if fault.errno == errno.EROFS:
        point = kind_of_disk(path, MOUNTS.read_text(errors="surrogateescape"))[1]
        return f"mount -o remount,rw {point} (dmesg tells why)"
    if fault.errno == errno.ENOTDIR:
        return f"mv {path} {path}.old && mkdir -m 700 {path}"
    return f"chown -R {_name(os.geteuid())} {path} && chmod u+rwx {path}"


# ---------------------------------------------------------------- whose, and who else


def _owners(patient: Patient, named: dict[str, Path]) -> Iterator[Finding]:
    """Everything belongs to who serves: a command of root's leaves files that the gateway cannot open."""
    owner = _owner(patient, named["data"])
    for path in (patient.folder / "private", *named.values()):
        strange = [each for each in _files(path) if each.lstat().st_uid != owner]
        if strange:
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            seen = f"{strange[0]}{more} belong to {_name(strange[0].lstat().st_uid)}, not to {_name(owner)} who serves"
            yield Finding("owner", FAULT, seen, f"chown -R {_name(owner)} {path}")
    if os.geteuid() not in (owner, *([0] if owner == 0 else [])):
        me = f"sudo -u {_name(owner)} gateway doctor -c {patient.path}"
        seen = f"we are {_name(os.geteuid())}, the gateway is {_name(owner)}, who may do other things"
        yield Finding("owner", WARNING, seen, me)


def _files(path: Path) -> Iterator[Path]:
    """A folder and the files right in it; storages are large, so no deeper."""
    try:
        if path.exists():
            yield path
            if path.is_dir():
                yield from (each for each in path.iterdir() if each.is_file() and not each.is_symlink())
    except OSError:
        return


def _owner(patient: Patient, data: Path) -> int:
    """Who serves: the process that does, else who asks, else (root asks for others) whose the data are."""
    try:
        if patient.served_by:
            return Path(f"/proc/{patient.served_by}").stat().st_uid
        return os.geteuid() or data.stat().st_uid
    except OSError:
        return os.geteuid()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _modes(patient: Patient, named: dict[str, Path]) -> Iterator[Finding]:
    """Who else may read or write; private/ itself is a matter of the configuration."""
    wanted = [
        (named["data"], 0o077, "700"),
        *((each, 0o077, "600") for each in sorted(named["data"].glob("catalogue.sqlite*"))),
        *((each, 0o007, "o-rwx") for each in sorted(named["log"].glob("*.log"))),
        (patient.path, 0o022, "go-w"),
        (patient.folder, 0o002, "o-w"),
    ]
    for path, others, mend in wanted:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & others:
            seen = f"{path} is open to others (mode {mode:04o})"
            yield Finding("mode", FAULT, seen, f"chmod {mend} {path}")
