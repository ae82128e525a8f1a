"""Commands that need no running gateway: help, init, accounts, keys, buckets, plugins."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


HEAVY = (
    "twisted apsw cryptography treq tqdm rich botocore awscrt pluggy prometheus_client http.client ssl asyncio".split()
)


def test_help_and_completion_come_at_once() -> None:
    """Counted in what is imported, not in time."""
    code = f"""if True:
        import contextlib, io, sys
        from gateway.cli.program import COMMANDS, program
        assert len(sys.modules) < 300, len(sys.modules)
        for words in ([], *([name] for name in COMMANDS)):
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                program([*words, "--help"], standalone_mode=False)
            assert shown.getvalue().startswith("Usage: "), words
            heavy = [name for name in {HEAVY} if name in sys.modules]
            assert not heavy, (words, heavy)
        print(shown.getvalue())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_command_that_is_not_there_is_usage(run: Run) -> None:
    listed = run("--help").stdout
    assert "demo" in listed and "plugins" in listed
    assert "no such command" in run("dmeo", code=2).stderr.lower()


def test_init_writes_a_short_commented_file_and_closed_secrets(folder: Path) -> None:
    lines = (folder / "tahoe.cfg").read_text().splitlines()
    assert len(lines) <= 25 and any(line.startswith("#") for line in lines)
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o700
    for path in (folder / "private").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((folder / "data" / "catalogue.sqlite").stat().st_mode) == 0o600


def test_init_again_changes_nothing_and_shows_no_secret(folder: Path, run: Run) -> None:
    before = {path: path.read_bytes() for path in [folder / "tahoe.cfg", *(folder / "private").iterdir()]}
    printed = run("init", "porch").stdout
    assert "secret" not in printed and "wrote" not in printed
    assert {path: path.read_bytes() for path in before} == before


def test_init_does_not_replace_a_lost_seal(folder: Path, run: Run) -> None:
    (folder / "private" / "seal").unlink()
    assert "restore it from a backup" in run("init", "porch", code=1).stderr
    assert not (folder / "private" / "seal").exists()


def test_init_where_the_accounts_are_gone_keeps_the_key_pair_and_tells_what_to_do(folder: Path, run: Run) -> None:
    pair = (folder / "private" / "admin.credentials").read_bytes()
    shutil.rmtree(folder / "data")
    run("rebuild", "--manifests-only", "-c", "porch/tahoe.cfg")
    (line,) = run("init", "porch", code=1).stderr.splitlines()
    assert "porch/private/admin.credentials" in line and "--canonical-id" in line and "move that file away" in line
    assert "admin" not in run("account", "list", "--json", "-c", "porch/tahoe.cfg").stdout
    assert (folder / "private" / "admin.credentials").read_bytes() == pair
    (folder / "private" / "admin.credentials").rename(folder / "private" / "old")
    assert "account     admin" in run("init", "porch").stdout


def test_init_with_an_unknown_backend_names_the_nearest(tmp_path: Path, run: Run) -> None:
    assert "Did you mean 'memory'?" in run("init", "x", "--backend", "memroy", code=3).stderr
    assert not (tmp_path / "x").exists()


def test_accounts_are_added_once_and_listed(folder: Path, run: Run) -> None:
    at = ("-c", "porch/tahoe.cfg")
    identity = "5" * 64
    added = run("account", "add", "alice", "--canonical-id", identity, "--email", "a@b.c", "--json", *at)
    assert json.loads(added.stdout) == {
        "account": "alice",
        "canonical_id": identity,
        "display_name": "alice",
        "email": "a@b.c",
    }
    assert "alice" in run("account", "add", "alice", *at, code=1).stderr
    assert [row["account"] for row in json.loads(run("account", "list", "--json", *at).stdout)] == ["admin", "alice"]
    run("account", "add", "two words", *at, code=2)
    run("account", "add", "bob", "--canonical-id", "short", *at, code=2)


def test_keys_are_drawn_imported_listed_and_revoked(folder: Path, run: Run) -> None:
    at = ("-c", "porch/tahoe.cfg")
    drawn = json.loads(run("key", "add", "--json", *at).stdout)  # one account: no need to name it
    assert set(drawn) == {"access_key_id", "secret_access_key", "account", "canonical_id"}
    assert drawn["account"] == "admin" and len(drawn["secret_access_key"]) == 40
    run("account", "add", "alice", *at)
    assert "admin|alice" in run("key", "add", *at, code=2).stderr
    (folder / "word").write_text("brought along by alice\n")
    brought = run("key", "add", "--account", "alice", "--access-key", "AKMINE", "--secret-file", "porch/word", *at)
    assert "brought along by alice" not in brought.stdout
    (folder / "noise").write_bytes(b"\xff\xfe")
    noise = ("--access-key", "AKNOISE", "--secret-file", "porch/noise")
    assert "one line of text" in run("key", "add", "--account", "alice", *noise, *at, code=2).stderr
    run("key", "add", "--access-key", "ALONE", *at, code=2)
    run("key", "add", "--account", "nobody", *at, code=1)
    listed = run("key", "list", "--json", *at).stdout
    assert drawn["secret_access_key"] not in listed and "brought along" not in listed
    assert {row["access_key_id"] for row in json.loads(listed)} >= {"AKMINE", drawn["access_key_id"]}
    run("key", "revoke", "AKMINE", *at)
    assert "AKMINE" not in run("key", "list", "--account", "alice", *at).stdout
    run("key", "revoke", "AKMINE", *at, code=1)


def test_buckets_are_added_listed_and_removed(folder: Path, run: Run) -> None:
    at = ("-c", "porch/tahoe.cfg")
    run("bucket", "add", "attic", *at)
    assert "there already" in run("bucket", "add", "attic", *at).stdout
    run("bucket", "add", "No_Name", *at, code=2)
    run("bucket", "add", "cellar", "--location", "nowhere", *at, code=2)
    (row,) = json.loads(run("bucket", "list", "--json", *at).stdout)
    assert (row["bucket"], row["account"], row["location"]) == ("attic", "admin", "storage")
    run("account", "add", "alice", *at)
    assert "another account" in run("bucket", "add", "attic", "--account", "alice", *at, code=1).stderr
    run("bucket", "rm", "attic", *at)
    run("bucket", "rm", "attic", *at, code=1)


def test_plugins_tell_where_they_come_from_and_what_they_want(run: Run) -> None:
    rows = {row["backend"]: row for row in json.loads(run("plugins", "--settings", "--json").stdout)}
    assert rows["memory"]["distribution"] == "txgateway" and rows["local"]["distribution"] == "txgateway-local"
    assert "local.path" in {setting["key"] for setting in rows["local"]["settings"]}
    assert "settings" not in json.loads(run("plugins", "--json").stdout)[0]
    shown = run("plugins", "--settings").stdout
    assert "local.path  path, default storage: " in shown and "azure.account  text, (required): " in shown
    assert "azure.url  url, optional: " in shown


@pytest.mark.parametrize("asked", [["run"], ["check"], ["account", "list"], ["ls", "-c", "absent.cfg"]])
def test_a_missing_configuration_is_one_line(run: Run, asked: list[str]) -> None:
    (line,) = run(*asked, code=3).stderr.splitlines()
    assert "gateway init" in line


def test_no_configuration_at_all_is_a_question_of_usage(run: Run) -> None:
    assert "which gateway?" in run("ls", code=2).stderr


def test_a_fault_of_ours_is_one_line_and_a_file() -> None:
    code = (
        "import sys; from gateway.cli.program import _unexpected; sys.excepthook = _unexpected;"
        "raise RuntimeError('two\\nlines')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: unexpected fault (RuntimeError: two lines); the whole story is in ")
    story = Path(line.rpartition(" ")[2])
    assert "Traceback" in story.read_text()
    story.unlink()


def test_what_is_made_and_removed_is_told_in_json_too(tmp_path: Path, run: Run) -> None:
    made = json.loads(run("init", "porch", "--json").stdout)
    assert made["account"] == "admin" and "porch/tahoe.cfg" in made["written"]
    assert (tmp_path / "porch" / "private" / "admin.credentials").read_text().count(made["secret_access_key"]) == 1
    assert set(json.loads(run("init", "porch", "--json").stdout)) == {"config", "written"}
    at = ("--json", "-c", "porch/tahoe.cfg")
    for new in (True, False):
        row = json.loads(run("bucket", "add", "attic", *at).stdout)
        assert (row["bucket"], row["account"], row["new"]) == ("attic", "admin", new)
    assert json.loads(run("bucket", "rm", "attic", *at).stdout) == {"bucket": "attic", "state": "removed"}
    revoked = json.loads(run("key", "revoke", made["access_key_id"], *at).stdout)
    assert revoked == {"access_key_id": made["access_key_id"], "state": "revoked"}


def test_check_tells_a_machine_what_it_found(folder: Path, run: Run) -> None:
    told = json.loads(run("check", "-c", "porch/tahoe.cfg", "--json").stdout)
    assert told == {"faults": [], "locations": [{"name": "storage", "backend": "local"}], "left_alone": []}
    (place,) = json.loads(run("check", "-c", "porch/tahoe.cfg", "--online", "--json").stdout)["locations"]
    assert (place["name"], place["fault"], place["refused"]) == ("storage", None, {}) and place["seconds"]["put"] >= 0
    text = (folder / "tahoe.cfg").read_text()
    (folder / "tahoe.cfg").write_text(text.replace("[gateway]", "[gateway]\nregoin = eu-north-1"))
    for more in ([], ["--online"]):
        done = run("check", "-c", "porch/tahoe.cfg", "--json", *more, code=3)
        (fault,) = json.loads(done.stdout)["faults"]
        assert "regoin" in fault["seen"] and "region" in fault["fix"] and fault["line"] > 0
        assert fault["fix"] in done.stderr, "people read the same"


def test_reap_tells_a_machine_what_it_did(folder: Path, run: Run) -> None:
    assert json.loads(run("reap", "-c", "porch/tahoe.cfg", "--json").stdout) == {"waiting": 0}
    done = json.loads(run("reap", "--now", "-c", "porch/tahoe.cfg", "--json").stdout)
    assert done == {"blobs": 0, "uploads": 0, "leases": 0, "failed": 0}
    assert json.loads(run("reap", "--accept-loss", "-c", "porch/tahoe.cfg", "--json").stdout)["changes"] > 0


def test_every_option_of_every_command_says_what_it_does() -> None:
    """And every command that tells something tells it in JSON, too."""
    code = """if True:
        import click
        from gateway.cli.program import COMMANDS, program
        def walk(name, command):
            if isinstance(command, click.Group):
                for child in command.list_commands(context):
                    yield from walk(f"{name} {child}", command.get_command(context, child))
            else:
                yield name, command
        context = click.Context(program)
        for name in COMMANDS:
            for name, command in walk(name, program.get_command(context, name)):
                options = [each for each in command.params if isinstance(each, click.Option)]
                for each in options:
                    assert each.help and each.help[-1] in ".:)", (name, each.name)
                if name not in ("demo", "run", "new-backend", "completion"):
                    assert "as_json" in {each.name for each in options}, name
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
