"""Every kind of setting reads what it promises and refuses the rest in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Secret, Setting
from gateway.settings.declare import Unreadable

READ = [
    ("text", "a = b : c", "a = b : c"),
    ("integer", "-12", -12),
    ("boolean", "Yes", True),
    ("boolean", "off", False),
    ("boolean", "0", False),
    ("url", "https://s3.example.com:8443/base/", "https://s3.example.com:8443/base"),
    ("url", "http://[::1]:9000", "http://[::1]:9000"),
    ("seconds", "30", 30.0),
    ("seconds", "1.5s", 1.5),
    ("seconds", "250ms", 0.25),
    ("seconds", "7 d", 7 * 86400.0),
    ("size", "0", 0),
    ("size", "10M", 10_000_000),
    ("size", "5GiB", 5 * 2**30),
    ("size", "100 kB", 100_000),
    ("lines", "one\n\n  two ", ("one", "two")),
]
REFUSED = [
    ("text", "two\nlines"),
    ("text", ""),
    ("integer", "1.0"),
    ("integer", "1_000"),
    ("integer", "٣٣"),
    ("boolean", "maybe"),
    ("url", "ftp://host"),
    ("url", "https://user:word@host"),
    ("url", "https://host/?query"),
    ("url", "https://host:99999"),
    ("url", "host:80"),
    ("seconds", "-1"),
    ("seconds", "nan"),
    ("seconds", "1 week"),
    ("size", "5 apples"),
    ("size", "1.5G"),
    ("lines", ""),
    ("path", ""),
]


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_reads(kind: str, text: str, value: object, tmp_path: Path) -> None:
    assert Setting("k", kind, "help").parse(text, tmp_path) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_refuses_in_words(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"\w+ \w+"):
        Setting("k", kind, "help").parse(text, tmp_path)  # type: ignore[arg-type]


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    setting = Setting("k", "path", "help")
    assert setting.parse("storage", tmp_path) == tmp_path / "storage"
    assert setting.parse("/var/lib", tmp_path) == Path("/var/lib")
    assert setting.parse("~/x", tmp_path) == Path.home() / "x"


@pytest.mark.parametrize("text", ["0", "9"])
def test_numbers_have_bounds(text: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="from 1 to 8"):
        Setting("k", "integer", "help", low=1, high=8).parse(text, tmp_path)


def test_a_choice_names_its_choices(tmp_path: Path) -> None:
    setting = Setting("k", "choice", "help", choices=("red", "blue"))
    assert setting.parse("blue", tmp_path) == "blue"
    with pytest.raises(Unreadable, match="one of red, blue"):
        setting.parse("green", tmp_path)


def test_declarations_that_make_no_sense_are_refused_when_the_plugin_is_written() -> None:
    for wrong in (
        lambda: Setting("k", "float", "help"),  # type: ignore[arg-type]
        lambda: Setting("k", "choice", "help"),
        lambda: Setting("k", "text", "help", choices=("a",)),
        lambda: Setting("Upper Case", "text", "help"),
        lambda: Secret("../escape", "help"),
    ):
        with pytest.raises(ValueError, match=r"setting|secret"):
            wrong()
