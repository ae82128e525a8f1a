"""Write docs/configuration.md from the declared settings; tests/test_docs.py sees to it that the two agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.node import declared
from gateway.plugins import loading
from gateway.settings import REQUIRED, Secret, Setting

PAGE = Path(__file__).with_suffix(".md")

_HEAD = """\
# Configuration

(Made by `make docs` from what the code declares.)

A gateway is a folder with `tahoe.cfg` and `private/`; `gateway init FOLDER` makes one, `gateway check` finds every
fault in it. The file has sections of `key = value` lines; a value may go on in lines that are indented deeper; `#` or
`;` starts a comment at the start of a line, ` ;` after a value. Relative paths start at the file's folder. An unknown
section or key stops the start, with the nearest known one named. The sections and keys that a Tahoe-LAFS node has in
its own `tahoe.cfg` are left alone.

Values: *boolean* is yes or no; *seconds* take `500ms`, `30s`, `5m`, `2h` or `7d`; *size* takes `4096`, `10M` or
`5GiB`; *lines* stand one a line.

Secrets never stand in the file. They lie in `private/` (mode 0700), one file each (mode 0600): `private/NAME` for
`[storage]`, `private/LOCATION.NAME` for `[location LOCATION]`. `private/seal` holds the key that seals the secrets in
the catalogue: keep a copy of it, for without it the catalogue's access keys cannot be opened.
"""

_PLACES = """
## [storage] and [location NAME]

Where the bytes are kept: `[storage]` is the default location, each `[location NAME]` a further one with the same
keys. The keys of each backend follow below; `gateway plugins --settings` lists those of every installed plugin.
"""


def table(settings: Sequence[Setting]) -> str:
    """A table of settings."""
    rows = ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for setting in settings:
        default = "(required)" if setting.default is REQUIRED else f"`{setting.default}`" if setting.default else ""
        kind = " or ".join(setting.choices) or setting.kind
        rows.append(f"| `{setting.key}` | {kind} | {default} | {setting.help} |")
    return "\n".join(rows) + "\n"


def secrets(declared_: Sequence[Secret]) -> str:
    """A list of secret files."""
    lines = [
        f"- `private/{secret.file}`: {secret.help}{'' if secret.required else ' (optional)'}" for secret in declared_
    ]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def page() -> str:
    """The whole page: the gateway's own sections, then each backend of this project."""
    parts = [_HEAD, "\n## [gateway]\n\n", table(declared.GATEWAY), _PLACES, "\n", table(declared.PLACE)]
    for plugin in loading.installed():
        if not plugin.distribution.startswith("txgateway"):
            continue  # a stranger's plugin that happens to be installed here has its own page
        backend = plugin.load()
        parts += [f"\n### backend = {plugin.type} (`{plugin.distribution}`)\n\n", table(backend.settings)]
        parts.append(secrets(getattr(backend, "secrets", ())))
    parts += ["\n## [endpoint HOST]\n\n", table(declared.ENDPOINT)]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
