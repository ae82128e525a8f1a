"""Key pairs: drawn, and written where only their owner reads them."""

from __future__ import annotations

import os
import secrets
import string
from pathlib import Path

CREDENTIALS = "admin.credentials"  # in private/, written by `gateway init`
_ACCESS = string.ascii_uppercase + string.digits
_SECRET = string.ascii_letters + string.digits  # nothing that a shell, a URL or an INI file would read as its own


def draw_pair() -> tuple[str, str]:
    """An access key of 20 characters and a secret of 40 (238 bits)."""
    access = "GW" + "".join(secrets.choice(_ACCESS) for _ in range(18))
    return access, "".join(secrets.choice(_SECRET) for _ in range(40))


def write_secret(path: Path, text: str) -> None:
    """A new file for our eyes only. Raises FileExistsError: a secret is never overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def credentials(access: str, secret: str) -> str:
    """The form of the AWS tools' own file, so that AWS_SHARED_CREDENTIALS_FILE may name it."""
    return f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n"


def read_credentials(path: Path) -> tuple[str, str]:
    """The key pair in such a file. Raises OSError, KeyError, configparser.Error."""
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    with path.open() as file:
        parser.read_file(file)
    pair = parser["default"]
    return pair["aws_access_key_id"], pair["aws_secret_access_key"]
