"""The lines that `gateway demo` prints work as they stand."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path
from typing import Any


def paste(line: str, cwd: Path, command: Any) -> str:
    done = subprocess.run(
        line, shell=True, cwd=cwd, env=command.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def test_every_line_to_paste_stores_an_object(tmp_path: Path, command: Any) -> None:
    start = ("gateway", "demo", "--port", str(command.free_port()))
    printed = command.start(*start, cwd=tmp_path, until="gateway put")
    lines = [line for line in printed.partition("Paste one of these")[2].splitlines()[1:] if line.strip()]
    assert [line.split()[0].partition("=")[0] for line in lines] == [
        "AWS_ACCESS_KEY_ID",
        "rclone",
        "python3",
        "gateway",
    ]
    for line in lines:
        paste(line, tmp_path, command)
    listed = paste("gateway ls demo -c gateway-demo/tahoe.cfg", tmp_path, command)
    assert {line.split()[-1] for line in listed.splitlines()} == {
        "aws.txt",
        "rclone.txt",
        "boto3.txt",
        "gateway.txt",
    }

    command.stop()
    again = command.start(*start, cwd=tmp_path, until="gateway put")
    keys = [line for line in printed.splitlines() if line.startswith("  keys")]
    assert keys == [line for line in again.splitlines() if line.startswith("  keys")]
    assert paste("gateway get demo/aws.txt - -c gateway-demo/tahoe.cfg", tmp_path, command).startswith("Hello")


def test_a_second_demo_in_the_folder_leaves_the_first_ones_lines_alone(tmp_path: Path, command: Any) -> None:
    command.start("gateway", "demo", cwd=tmp_path, until="gateway put")
    before = (tmp_path / "gateway-demo" / "tahoe.cfg").read_text()
    refused = command.run("gateway", "demo", cwd=tmp_path, code=3)
    assert "in use by the gateway of process" in refused.stderr
    assert (tmp_path / "gateway-demo" / "tahoe.cfg").read_text() == before


def test_a_taken_port_makes_the_demo_choose_another(tmp_path: Path, command: Any) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: the same case
            other.bind(("127.0.0.1", 8000))
            other.listen()
        printed = command.start("gateway", "demo", cwd=tmp_path, until="gateway put")
    assert "http://127.0.0.1:8000" not in printed and "http://127.0.0.1:" in printed
