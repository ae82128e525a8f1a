"""Documents are read with suspicion; metadata survives the trip as headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.errors import BackendDown, BackendUnfit
from gateway.remote import METADATA_PAIRS, METADATA_SIZE, pack_metadata, read_json, read_xml, unpack_metadata

PREFIX = "x-amz-meta-"


def test_namespaces_are_dropped() -> None:
    root = read_xml(b'<?xml version="1.0"?><a:L xmlns:a="urn:x"><a:K>k&amp;1</a:K><K xmlns="urn:y">2</K></a:L>')
    assert (root.tag, [each.text for each in root.iter("K")]) == ("L", ["k&1", "2"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"\xff\xfe",
        b"<a>\xff</a>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a>&undefined;</a>",
        b'<?xml version="1.0" encoding="no-such-thing"?><a/>',
    ],
)
def test_what_is_not_plain_xml_is_refused(content: bytes) -> None:
    with pytest.raises(BackendDown):
        read_xml(content)


@pytest.mark.parametrize("content", [b"", b"<a/>", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(BackendDown):
        read_json(content)
    assert read_json(b'{"a": [1]}') == {"a": [1]}


texts = some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)


@given(some.dictionaries(texts, texts, max_size=10))
def test_metadata_comes_back(metadata: dict[str, str]) -> None:
    packed = pack_metadata(metadata)
    assert all(value.isascii() and value.strip() == value and value for value in packed.values())
    assert sum(len(PREFIX + name + value) for name, value in packed.items()) <= 2048
    assert unpack_metadata({PREFIX + name: value for name, value in packed.items()}, PREFIX) == metadata


def test_metadata_has_limits() -> None:
    full = {f"k{number:02d}": "v" for number in range(METADATA_PAIRS)}
    full["k00"] = "v" * (1 + METADATA_SIZE - 4 * METADATA_PAIRS)
    packed = pack_metadata(full)
    assert sum(len(PREFIX + name + value) for name, value in packed.items()) <= 2048
    assert unpack_metadata({PREFIX + name: value for name, value in packed.items()}, PREFIX) == full
    for wrong in ({**full, "k00": full["k00"] + "v"}, {**full, "more": ""}, {"a": "\0"}):
        with pytest.raises(BackendUnfit):
            pack_metadata(wrong)


@pytest.mark.parametrize("damaged", ["!", "YQ", "/w==", "YQ=="])
def test_damaged_metadata_is_noticed(damaged: str) -> None:
    with pytest.raises(BackendDown):
        unpack_metadata({PREFIX + "gw0": damaged}, PREFIX)
