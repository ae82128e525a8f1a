"""`gateway new-backend`: the package of a backend that works in memory, for its author to replace method by method."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import click

from gateway.cli.exits import Refused

# where it goes -> the file of gateway/testing/template that it is made of
FILES: Mapping[str, str] = MappingProxyType(
    {
        "setup.cfg": "setup.cfg.in",
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        "LICENSE": "LICENSE.in",
        ".gitignore": "gitignore.in",
        ".github/workflows/test.yml": "ci.yml.in",
        "@package@/__init__.py": "backend.py.in",
        "@package@/py.typed": "",
        "tests/test_contract.py": "test_contract.py.in",
    }
)
KIT = 2  # of the promises that the template was seen to keep (tests/test_template.py)
LONGEST = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@click.command("new-backend")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("."),
    help="Where the package's folder is made; without it, here.",
)
def new_backend(name: str, folder: Path) -> None:
    """Write gateway-NAME/: a package with a backend that works, its tests, and all it takes to publish it.

    NAME is what will stand behind `backend =`: lower-case letters, digits and single hyphens.
    """
    _check(name)
    target = folder / f"gateway-{name}"
    try:
        target.mkdir()
    except FileExistsError as fault:
        raise Refused(f"{target} is there already, and nothing is overwritten: move it, or give --folder") from fault
    except OSError as fault:
        raise Refused(f"{target}: {fault.strerror}") from fault
    try:
        write(name, target)
    except OSError as fault:
        shutil.rmtree(target)
        raise Refused(f"{fault.filename or target}: {fault.strerror}") from fault
    except BaseException:
        shutil.rmtree(target)
        raise
    for path in FILES:
        click.echo(f"wrote  {target / _filled(path, words(name))}")
    click.echo(f"next   cd {target} && pip install -e '.[testing]' && pytest")


def write(name: str, target: Path) -> None:
    """Every file of the package ``gateway-NAME`` into an empty folder. Raises OSError."""
    known = words(name)
    template = resources.files("gateway.testing") / "template"
    for path, source in FILES.items():
        made = target / _filled(path, known)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(_filled((template / source).read_text("utf-8"), known) if source else "", "utf-8")


def words(name: str) -> Mapping[str, str]:
    """What stands for the template's @words@."""
    return {
        "type": name,
        "distribution": f"gateway-{name}",
        "package": f"gateway_{name.replace('-', '_')}",
        "class": "".join(word.capitalize() for word in name.split("-")) + "Backend",
        "kit": str(KIT),
        "year": time.strftime("%Y"),
    }


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub("@([a-z]+)@", lambda found: known[found[1]], text)


def _check(name: str) -> None:
    """A name that is free, and good for a distribution, a module and a setting alike. Raises click.BadParameter."""
    from gateway.plugins import loading

    rule = "lower-case letters and digits, beginning with a letter; single hyphens between words"
    if not _NAME.fullmatch(name):
        meant = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        hint = f": did you mean {meant!r}?" if _NAME.fullmatch(meant) and len(meant) <= LONGEST else ""
        raise click.BadParameter(f"{name!r} is no name for a backend ({rule}){hint}", param_hint="NAME")
    if len(name) > LONGEST:
        raise click.BadParameter(f"{len(name)} characters are too many: at most {LONGEST}", param_hint="NAME")
    if name.startswith(("gateway-", "txgateway-")):
        short = name.partition("-")[2]
        raise click.BadParameter(f"the package will be called gateway-NAME: just {short!r}?", param_hint="NAME")
    taken = {plugin.type: plugin.distribution for plugin in loading.installed()} | dict(loading.DISTRIBUTIONS)
    taken |= {distribution.removeprefix("txgateway-"): distribution for distribution in loading.DISTRIBUTIONS.values()}
    if name in taken:
        raise click.BadParameter(f"{name!r} is taken by {taken[name]}: choose another name", param_hint="NAME")
