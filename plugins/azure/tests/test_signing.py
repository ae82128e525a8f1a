"""Signatures against Microsoft's own examples, and credentials that cannot be right.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key (the examples in "Constructing the
canonicalized headers string" and "Shared Key format for 2009-09-19 and later")
"""

from __future__ import annotations

import base64

import pytest
from gateway_azure.signing import SharedKey, string_to_sign, token_params


def test_the_text_of_the_example_in_the_manual() -> None:
    params = [("restype", "container"), ("timeout", "20"), ("comp", "metadata")]
    headers = {"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"}
    assert string_to_sign("myaccount", "GET", "/mycontainer", params, headers) == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


def test_standard_headers_have_their_places() -> None:
    headers = {"content-length": "11", "range": "bytes=0-5", "if-match": '"e"', "if-none-match": "*", "accept": "no"}
    text = string_to_sign("a", "PUT", "/c/b%20c", [], {**headers, "content-type": "text/plain", "x-ms-b": " 2 "})
    lines = ["PUT", "", "", "11", "", "text/plain", "", "", '"e"', "*", "", "bytes=0-5", "x-ms-b:2", "/a/c/b%20c"]
    assert text.split("\n") == lines


def test_no_bytes_are_signed_as_no_length() -> None:
    assert string_to_sign("a", "PUT", "/c", [], {"content-length": "0"}).split("\n")[3] == ""


def test_the_signature_is_an_hmac_of_the_text() -> None:
    key = base64.b64encode(b"k" * 64).decode()
    signed = SharedKey("acc", f" {key}\n").authorization("GET", "/c", [("comp", "list")], {"x-ms-version": "1"})
    # printf 'GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-version:1\n/acc/c\ncomp:list' |
    #   openssl dgst -sha256 -hmac kkkk...k -binary | base64
    assert signed == "SharedKey acc:VjtiTja/BUNOfo9MfA6xIDE+a2FPFg+arHM5XVKWA1I="


@pytest.mark.parametrize("key", ["not base64!", "abc", ""])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="account key"):
        SharedKey("acc", key)


def test_a_token_is_read_with_and_without_its_question_mark() -> None:
    params = {"sv": "2025-11-05", "se": "2030-01-01T00:00:00Z", "sig": "a+b/c="}
    assert token_params("sv=2025-11-05&se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D") == params
    assert token_params("?sv=2025-11-05&se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D\n") == params


@pytest.mark.parametrize("sas", ["", "?", "secret", "sv=2025-11-05&se=2030-01-01", "BlobEndpoint=https://x;sig=y"])
def test_what_is_no_token_is_refused_and_not_repeated(sas: str) -> None:
    with pytest.raises(ValueError, match="not a SAS token") as refused:
        token_params(sas)
    assert "secret" not in str(refused.value)
