"""The file is read as ConfigParser reads it, with line numbers, and all faults at once."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.settings import ConfigurationFault, Document, read_document


def read(folder: Path, text: str | bytes) -> tuple[Document, list[str]]:
    path = folder / "tahoe.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    faults: list[ConfigurationFault] = []
    document = read_document(path, faults)
    return document, [f"{fault.line}: {fault.seen}" for fault in faults]


def test_every_section_key_and_line_of_a_value_knows_its_line(tmp_path: Path) -> None:
    text = "\ufeff# first\n[gateway]\nListen = tcp:1 ; why\n    tcp:2\n# between\n    tcp:3\n\n[location  cold]\n"
    text += "url: x = y\n"
    document, faults = read(tmp_path, text)
    assert faults == []
    gateway, cold = document.sections.values()
    assert (gateway.name, gateway.line, cold.name, cold.line) == ("gateway", 2, "location cold", 8)
    assert gateway.entries["listen"].lines[:3] == ((3, "tcp:1"), (4, "tcp:2"), (6, "tcp:3"))
    assert gateway.entries["listen"].value == "tcp:1\ntcp:2\ntcp:3"
    assert cold.entries["url"].value == "x = y"


def test_a_percent_sign_and_a_semicolon_inside_a_word_are_only_text(tmp_path: Path) -> None:
    document, faults = read(tmp_path, "[a]\nk = %(x)s 100% a;b\n")
    assert faults == [] and document.sections["a"].entries["k"].value == "%(x)s 100% a;b"


def test_all_faults_of_form_are_found_in_one_reading(tmp_path: Path) -> None:
    _, faults = read(tmp_path, "early = 1\n[a]\nk = 1\nk = 2\nno pair\n[a]\n= 3\n[open\n")
    assert faults == [
        "1: the line 'early = 1'",
        "4: k for the second time",
        "5: the line 'no pair'",
        "6: [a] for the second time",
        "7: the line '= 3'",
        "8: the line '[open'",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[a]\nk = \xff\n", "2: bytes that are not UTF-8"),
        (b"[a]\nk = a\0b\n", "2: a NUL byte"),
        (None, "0: no way to read it (No such file or directory)"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, content: bytes | None, fault: str) -> None:
    if content is not None:
        assert read(tmp_path, content)[1] == [fault]
        return
    faults: list[ConfigurationFault] = []
    assert read_document(tmp_path / "absent.cfg", faults).sections == {}
    assert [f"{each.line}: {each.seen}" for each in faults] == [fault]
    assert "gateway init" in str(faults[0])


LINES = st.lists(
    st.sampled_from(
        [
            "[a]",
            "[b c]",
            "k = v",
            "K : w",
            "x=",
            "  more",
            "\tdeeper = 1",
            "# note",
            "; note",
            "",
            "   ",
            "y = 1 ; why",
            "z",
            " k2 = q",
        ]
    ),
    max_size=12,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES)
@example(["[a]", " k2 = q", " k3 = r", "  more", " k4 = s"])
def test_whatever_configparser_reads_is_read_the_same(tmp_path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    reference = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";",))
    document, faults = read(tmp_path, text)
    try:
        reference.read_string(text)
    except configparser.Error:
        assert faults, "ConfigParser refused what we took"
        return
    ours = {s.name: {e.key: e.value for e in s.entries.values()} for s in document.sections.values()}
    assert faults == []
    assert ours == {name: dict(reference[name]) for name in reference.sections()}
