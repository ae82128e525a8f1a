"""Metadata outside ASCII goes out as RFC 2047 words and comes in as them, or as plain UTF-8."""

from __future__ import annotations

import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import S3Error
from gateway.wire import encoded_words, request


@given(st.text())
def test_what_we_write_we_read_and_so_does_the_standard_library(text: str) -> None:
    word = encoded_words.encode(text)
    assert word.isascii()
    if "=?" not in text:
        assert encoded_words.decode(word) == text
    if not text.isascii():
        assert str(email.header.make_header(email.header.decode_header(word))) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?UTF-8?Q?gr=C3=BCn?=", "grün"),
        ("=?utf-8?b?Z3LDvG4=?=", "grün"),
        ("=?ISO-8859-1?Q?gr=FCn_blau?= end", "grün blau end"),
        ("=?UTF-8?B?Z3I=?= =?UTF-8?B?w7xu?=", "grün"),
        ("=?UTF-8?B?!?=", "=?UTF-8?B?!?="),
        ("=?no-such-set?B?Z3I=?=", "=?no-such-set?B?Z3I=?="),
        ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="),
    ],
)
def test_words_are_read_and_what_is_no_word_stays(value: str, text: str) -> None:
    assert encoded_words.decode(value) == text


def test_t107_a_line_end_hidden_in_a_word_is_refused() -> None:
    for value in ("=?UTF-8?Q?a=0D=0AX-Evil:_1?=", "=?UTF-8?B?YQ0KYg==?="):
        with pytest.raises(S3Error) as refusal:
            request.content({"x-amz-meta-a": value})
        assert refusal.value.code == "InvalidArgument"
