"""put, get, ls and rm against a gateway that serves, and what they say when it does not."""

from __future__ import annotations

import configparser
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AT = ("-c", "porch/tahoe.cfg")


def test_a_file_goes_and_comes_back(serving: Path, run: Run) -> None:
    here = serving.parent
    data = bytes(range(256)) * 4096
    (here / "photo.bin").write_bytes(data)
    run("bucket", "add", "attic", *AT)
    run("put", "photo.bin", "attic/2026/älbum & more/", *AT)
    run("put", "photo.bin", "s3://attic/copy+1.bin", *AT)
    assert "2026/" in run("ls", "attic", *AT).stdout and "copy+1.bin" in run("ls", "attic", *AT).stdout
    assert "älbum & more/photo.bin" in run("ls", "attic/2026/älbum & more/", *AT).stdout
    assert "attic" in run("ls", *AT).stdout
    run("get", "attic/2026/älbum & more/photo.bin", "back.bin", *AT)
    assert (here / "back.bin").read_bytes() == data
    run("rm", "attic/copy+1.bin", *AT)
    assert "copy+1.bin" not in run("ls", "attic", *AT).stdout


def test_a_refusal_shows_s3s_words_and_leaves_no_file(serving: Path, run: Run) -> None:
    run("bucket", "add", "attic", *AT)
    refused = run("get", "attic/absent", "here", *AT, code=1)
    assert refused.stderr.startswith("gateway: NoSuchKey: ") and refused.stdout == ""
    assert not [path for path in serving.parent.iterdir() if "here" in path.name]
    assert "NoSuchBucket" in run("put", "porch/tahoe.cfg", "cellar/x", *AT, code=1).stderr
    run("get", "attic/", *AT, code=2)


def test_the_aws_environment_names_the_gateway_too(serving: Path, run: Run) -> None:
    run("bucket", "add", "attic", *AT)
    pair = configparser.ConfigParser()
    pair.read(serving / "private" / "admin.credentials")
    environment = {
        "AWS_ACCESS_KEY_ID": pair["default"]["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": pair["default"]["aws_secret_access_key"],
    }
    assert "AWS_ENDPOINT_URL" in run("ls", code=2, **environment).stderr
    port = (serving / "tahoe.cfg").read_text().partition("tcp:")[2].partition(":")[0]
    environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    assert "attic" in run("ls", **environment).stdout
    environment["AWS_SECRET_ACCESS_KEY"] = "another"
    assert "SignatureDoesNotMatch" in run("ls", code=1, **environment).stderr


def test_nobody_there_is_exit_code_four(folder: Path, run: Run) -> None:
    assert "nobody answers at http://127.0.0.1:" in run("ls", *AT, code=4).stderr
