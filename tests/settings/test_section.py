"""A section becomes typed values, or faults that name line, key, expectation and fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.settings import (
    ConfigurationFault,
    ConfigurationFaults,
    Private,
    Secret,
    Setting,
    Values,
    read_document,
    read_section,
)

SETTINGS = (
    Setting("s3.bucket", "text", "The bucket."),
    Setting("s3.url", "url", "Where it is.", default="https://s3.amazonaws.com"),
    Setting("s3.parts", "integer", "How many at once.", default="4", low=1),
    Setting("s3.note", "text", "Optional.", default=None),
)
SECRETS = (Secret("s3secret", "the secret key"), Secret("s3token", "a token", required=False))


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


def secret(path: Path, text: str = "word\n", mode: int = 0o600) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(mode)


def read(folder: Path, text: str, name: str = "storage") -> tuple[Values | None, list[str]]:
    (folder / "tahoe.cfg").write_text(text)
    faults: list[ConfigurationFault] = []
    document = read_document(folder / "tahoe.cfg", faults)
    values = read_section(
        document,
        document.sections[name],
        SETTINGS,
        faults,
        foreign=("readonly",),
        secrets=SECRETS,
        private=Private(folder / "private", document.file),
        location=name.removeprefix("location "),
    )
    return values, str(ConfigurationFaults(faults)).replace(f"{folder}/tahoe.cfg", "tahoe.cfg").splitlines()


def test_values_have_their_types_and_defaults(tmp_path: Path, private: Path) -> None:
    secret(private / "s3secret")
    values, faults = read(tmp_path, "[storage]\ns3.bucket = attic\nreadonly = no\n")
    assert faults == [] and values is not None
    assert dict(values) == {"s3.bucket": "attic", "s3.url": "https://s3.amazonaws.com", "s3.parts": 4, "s3.note": None}
    assert values.secret("s3secret") == "word" and values.secret("s3token") is None
    assert "word" not in repr(values) and values.location == "storage"


def test_a_locations_secret_carries_its_name(tmp_path: Path, private: Path) -> None:
    secret(private / "cold.s3secret", "frost")
    values, faults = read(tmp_path, "[location cold]\ns3.bucket = attic\n", "location cold")
    assert faults == [] and values is not None and values.secret("s3secret") == "frost"


def test_all_faults_of_a_section_are_found_at_once(tmp_path: Path, private: Path) -> None:
    text = "[storage]\n\ns3.buckt = attic\ns3.parts = many\ns3.url = https://me:word@host\n"
    text += "s3.secret = hush\nwholly = other\n"
    values, faults = read(tmp_path, text)
    assert values is None
    keys = "s3.bucket, s3.note, s3.parts, s3.url"
    assert faults[0].startswith("tahoe.cfg:1: seen no file") and "private/s3secret" in faults[0]
    assert faults[1:] == [  # the bucket is not reported as missing too: its key is there, misspelt
        "tahoe.cfg:3: seen unknown key s3.buckt in [storage]; expected a key of [storage]; "
        "fix: did you mean s3.bucket?",
        "tahoe.cfg:4: seen s3.parts = 'many'; expected a whole number, at least 1; "
        "fix: change s3.parts or remove the line",
        "tahoe.cfg:5: seen s3.url = a URL with a user or password; "
        "expected a URL such as https://host:port, without user or password; fix: change s3.url or remove the line",
        "tahoe.cfg:6: seen unknown key s3.secret in [storage]; expected a key of [storage]; "
        "fix: secrets do not stand in this file: move it to private/s3secret and remove the line",
        f"tahoe.cfg:7: seen unknown key wholly in [storage]; expected one of {keys}; fix: remove the line",
    ]


def test_a_required_key_that_is_missing_points_at_the_section(tmp_path: Path, private: Path) -> None:
    secret(private / "s3secret")
    _, faults = read(tmp_path, "\n[storage]\n")
    assert faults == [
        "tahoe.cfg:2: seen no s3.bucket in [storage]; expected text on one line; "
        "fix: add `s3.bucket = ...` to [storage]"
    ]


BROKEN_SECRETS: list[tuple[Callable[[Path], None], str]] = [
    (lambda path: None, "seen no file"),
    (lambda path: secret(path, mode=0o640), "open to others (mode 0640); expected mode 0600; fix: chmod 600"),
    (lambda path: secret(path, mode=0o604), "open to others (mode 0604)"),
    (lambda path: secret(path, "\n"), "empty"),
    (lambda path: path.mkdir(mode=0o700), "not a plain file"),
    (lambda path: secret(path, "\udcff"), "not text"),
]


@pytest.mark.parametrize(("spoil", "seen"), BROKEN_SECRETS)
def test_a_secret_that_is_missing_or_readable_is_one_fault(
    tmp_path: Path, private: Path, spoil: Callable[[Path], None], seen: str
) -> None:
    spoil(private / "s3secret")
    values, faults = read(tmp_path, "[storage]\ns3.bucket = attic\n")
    assert values is None and len(faults) == 1 and seen in faults[0] and "private/s3secret" in faults[0]


def test_the_private_folder_itself_is_closed(tmp_path: Path, private: Path) -> None:
    assert Private(private, "tahoe.cfg").check_folder() is None
    private.chmod(0o750)
    fault = Private(private, "tahoe.cfg").check_folder()
    assert fault is not None and "mode 0750" in str(fault) and f"chmod 700 {private}" in str(fault)


def test_values_for_tests_take_values_as_well_as_text(tmp_path: Path) -> None:
    settings = (Setting("local.path", "path", "where", default="storage"), Setting("on", "boolean", "", default="no"))
    values = Values.of(settings, {"local.path": tmp_path, "on": True}, secrets={"s": "hidden"})
    assert values["local.path"] == tmp_path and values["on"] is True and values.secret("s") == "hidden"
    assert "hidden" not in repr(values)
    with pytest.raises(ConfigurationFault, match="unknown keys"):
        Values.of(settings, {"local.paht": tmp_path})
    with pytest.raises(ConfigurationFault, match=r"no s3\.bucket"):
        Values.of(SETTINGS, {})


def test_a_fault_is_one_line_whatever_it_quotes() -> None:
    assert str(ConfigurationFault("tahoe.cfg", 3, "two\nlines", "one", "x")) == (
        "tahoe.cfg:3: seen two lines; expected one; fix: x"
    )
