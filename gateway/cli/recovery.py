"""`gateway backup`, `snapshot`, `restore`, `rebuild`: the catalogue kept elsewhere, and brought back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.exits import Misconfigured, PartlyDone, Refused
from gateway.cli.offline import as_json, config, in_reactor, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.recovery.report import Report

T = TypeVar("T")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json
@config
def backup(file: Path, as_json: bool, config: Path) -> None:
    """Copy the catalogue to FILE while the gateway serves; FILE and private/ are enough for `gateway restore --from`.

    The copy is of one moment, every page of it is checked, and an earlier FILE stays until the new one is whole.
    """
    from dataclasses import asdict

    from gateway.catalogue import CatalogueFault
    from gateway.catalogue.copying import copy_catalogue

    settings = settings_of(config)
    try:
        with bar("backup") as tell:
            copied = copy_catalogue(settings.gateway["data"], file.absolute(), tell)
    except CatalogueFault as fault:
        raise Refused(str(fault)) from fault
    if as_json:
        click.echo(json.dumps({"file": str(file), **asdict(copied)}))
        return
    click.echo(f"{file}: {copied.objects} objects, {copied.size} bytes, checked")


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield tell


@click.command()
@as_json
@config
def snapshot(as_json: bool, config: Path) -> None:
    """Keep the catalogue as sealed blobs in every location, now; a gateway that serves does it by itself."""
    from gateway.node.recovering import snapshot as take

    settings = settings_of(config)
    objects, kept, failed = run(lambda reactor: take(settings))
    if as_json:
        click.echo(json.dumps({"objects": objects, "kept": kept, "failed": failed}))
    else:
        for name, stem in kept.items():
            click.echo(f"{name}: {stem} with {objects} objects")
    if failed:
        told = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise (PartlyDone if kept else Refused)(f"no snapshot in {told}")


_dry_run = click.option("--dry-run", is_flag=True, help="Tell what would come back; change nothing.")


@click.command()
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of `gateway backup` instead of the newest snapshot.",
)
@_dry_run
@as_json
@config
def restore(file: Path | None, dry_run: bool, as_json: bool, config: Path) -> None:
    """Bring back a catalogue that is gone: the newest snapshot in the locations, and what was written after it.

    What cannot be known is listed, and ends the command with 5. A catalogue that is there is never replaced.
    """
    _bring_back(config, dry_run, as_json, file=file, manifests_only=False, snapshot_needed=True)


@click.command()
@click.option("--manifests-only", is_flag=True, help="As if there were no snapshot.")
@_dry_run
@as_json
@config
def rebuild(manifests_only: bool, dry_run: bool, as_json: bool, config: Path) -> None:
    """Bring back a catalogue that is gone, also without a snapshot: from the manifests beside the blobs.

    Without a snapshot every object is read. What cannot be known is listed, and ends the command with 5.
    """
    _bring_back(config, dry_run, as_json, file=None, manifests_only=manifests_only, snapshot_needed=False)


def _bring_back(config: Path, dry_run: bool, as_json: bool, **how: Any) -> None:
    from gateway.node.recovering import restore as bring_back

    settings = settings_of(config)

    def tell(what: str, count: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\033[K{count} {what}", nl=False, err=True)

    report: Report = run(lambda reactor: bring_back(settings, dry_run=dry_run, tell=tell, **how))
    if sys.stderr.isatty():
        click.echo(err=True)
    click.echo(json.dumps(report.rows()) if as_json else "\n".join(report.lines()))
    if not report.certain:
        raise PartlyDone("something could not be known; it is listed above" + ("" if as_json else " (--json: all)"))


def run(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """The result; what the operator can mend ends the command in a line."""
    from gateway.catalogue import CatalogueFault
    from gateway.node.recovering import NotRestored
    from gateway.settings import ConfigurationFault

    try:
        return in_reactor(work)
    except ConfigurationFault as fault:
        raise Misconfigured(str(fault)) from fault
    except (NotRestored, CatalogueFault) as fault:
        raise Refused(str(fault)) from fault
