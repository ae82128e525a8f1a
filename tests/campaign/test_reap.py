"""`gateway reap`: only while the gateway is stopped, and then nothing is left that nobody refers to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.campaign.kills import Round
from tests.campaign.stories import STORIES, Story
from tests.campaign.verify import unsound
from tests.localfolder import names


def reap(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "reap", *words, "-c", str(folder / "tahoe.cfg")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_deletes_what_was_replaced_and_only_while_stopped(tmp_path: Path) -> None:
    with Round(tmp_path / "round") as this:
        folder = this.subject.folder
        for _ in range(3):
            this.act(STORIES["overwrite"], this.scene(STORIES["overwrite"]))
        assert reap(folder).stdout == "3 blobs wait to be deleted\n"
        refused = reap(folder, "--now")
        assert refused.returncode == 3 and f"in use by the gateway of process {this.subject.pid}" in refused.stderr
        this.subject.stop()
        done = reap(folder, "--now")
        assert (done.returncode, done.stderr) == (0, "")
        told = re.fullmatch(r"(\d+) blobs deleted, 0 uploads ended, 0 leases of dead processes closed\n", done.stdout)
        assert told and int(told[1]) >= 3  # the blob of a health probe may be among them
        assert reap(folder).stdout == "0 blobs wait to be deleted\n"
        assert unsound(folder, reaped=True) == []
        assert len(names(folder / "storage")) == 4


def test_a_storage_that_refuses_is_partly_done(tmp_path: Path) -> None:
    with Round(tmp_path / "round") as this:
        folder = this.subject.folder
        large = Story(lambda s: s.actor.put(s.where, 100_000), lambda s: s.actor.put(s.where, 100_000))
        this.act(large, this.scene(large))
        this.subject.stop()
        (lease,) = [each for each in (folder / "storage" / "blobs").iterdir() if each.is_dir()]
        aside = lease.rename(lease.parent.parent / "aside")
        lease.touch()  # where the blobs' directory was lies something else
        partly = reap(folder, "--now")
        assert partly.returncode == 5 and "refused by their storage" in partly.stderr
        lease.unlink()
        aside.rename(lease)
        assert reap(folder, "--now").returncode == 0
        assert reap(folder).stdout == "0 blobs wait to be deleted\n"
