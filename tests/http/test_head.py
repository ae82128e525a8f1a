"""The head reader alone: any cut of the input gives the same head, and nothing but S3Error comes out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.http.head import Head, HeadReader
from gateway.http.limits import Limits


def read(data: bytes, cuts: list[int]) -> tuple[Head | None, bytes]:
    reader = HeadReader(Limits())
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        head, rest = reader.feed(data[start:stop])
        if head is not None:
            return head, rest + data[stop:]
    return None, b""


names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,20}\Z").filter(
    lambda name: name.lower() not in ("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade")
)
values = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=40)
targets = st.from_regex(r"\A/[!$-~]{0,60}\Z").filter(lambda target: "#" not in target)


@settings(deadline=None)  # the machine is noisy
@given(targets, st.lists(st.tuples(names, values), max_size=12), st.binary(max_size=20), st.lists(st.integers(0, 2000)))
def test_any_cut_gives_the_same(target: str, fields: list[tuple[str, str]], after: bytes, cuts: list[int]) -> None:
    expected: dict[str, str] = {"host": "h"}
    for name, value in fields:
        value = value.strip(" \t")
        lower = name.lower()
        expected[lower] = f"{expected[lower]},{value}" if lower in expected else value
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    raw = f"GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
    head, rest = read(raw + after, cuts)
    assert head is not None
    path, _, query = target.partition("?")
    assert (head.method, head.path, head.query, head.headers) == ("GET", path, query, expected)
    assert (head.length, head.keep, head.size, rest) == (0, True, len(raw), after)


SEED = b"PUT /b/k?x=y HTTP/1.1\r\nHost: h:80\r\nContent-Length: 12\r\nExpect: 100-continue\r\nX-Amz-Meta-A: b\r\n\r\n"


@given(st.lists(st.tuples(st.integers(0, len(SEED)), st.binary(max_size=3)), max_size=3), st.lists(st.integers(0, 200)))
@example([(0, b"\n")], [])
@example([(0, b"\r")], [])
@settings(max_examples=500, deadline=None)
def test_mutated_heads_raise_nothing_else_and_never_depend_on_the_cut(
    changes: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = SEED
    for at, new in changes:
        data = data[:at] + new + data[at + 1 :]

    def outcome(cuts: list[int]) -> object:
        try:
            return read(data, cuts)
        except S3Error:
            return "refused"  # of two faults the cut may decide which one is named

    whole = outcome([])
    assert outcome(cuts) == whole
    if isinstance(whole, tuple) and whole[0] is not None:
        assert whole[0].headers.get("host")
        assert b"\r\n\r\n" in data


@pytest.mark.parametrize(
    ("line", "keep"),
    [("", True), ("Connection: close", False), ("Connection: Keep-Alive, Close", False), ("Connection: closer", True)],
)
def test_keep_alive(line: str, keep: bool) -> None:
    extra = f"{line}\r\n" if line else ""
    head, _ = read(f"GET / HTTP/1.1\r\nHost: h\r\n{extra}\r\n".encode(), [])
    assert head is not None
    assert head.keep is keep


def test_one_reader_reads_one_head_after_the_other() -> None:
    reader = HeadReader(Limits())
    rest = b"PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"
    first, rest = reader.feed(rest)
    second, rest = reader.feed(rest)
    assert first is not None
    assert second is not None
    assert (first.path, first.length, second.path, second.headers, rest) == (
        "/1",
        3,
        "/2",
        {"host": "h", "x": "y"},
        b"",
    )
    assert not reader.begun
