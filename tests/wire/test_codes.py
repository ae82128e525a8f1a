"""The table of error codes, and that nobody raises a code that is not in it."""

from __future__ import annotations

import ast
from pathlib import Path

import botocore.session
import pytest

from gateway.errors import BACKEND_TO_S3
from gateway.wire.codes import CODES, OURS, status

GATEWAY = Path(__file__).parents[2] / "gateway"


def raised_codes() -> list[tuple[str, str]]:
    """(file:line, code) of every S3Error with a literal code in the gateway."""
    found = []
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name == "S3Error" and isinstance(node, ast.Call) and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found.append((f"{path.relative_to(GATEWAY)}:{node.lineno}", code.value))
    return found


def test_every_code_that_the_gateway_raises_is_in_the_table() -> None:
    raised = raised_codes()
    assert len(raised) > 20  # the scan still sees them
    assert [(where, code) for where, code in raised if code not in CODES] == []
    assert [code for _, code in BACKEND_TO_S3 if code not in CODES] == []


@pytest.mark.parametrize("code", CODES)
def test_every_row_has_an_error_status_a_message_and_its_page(code: str) -> None:
    row = CODES[code]
    assert 300 <= row.status <= 599
    assert row.message
    assert row.source.startswith("https://docs.aws.amazon.com/AmazonS3/latest/") or row.source == OURS
    assert status(code) == row.status


def test_the_statuses_are_those_that_the_sdk_knows() -> None:
    service = botocore.session.get_session().get_service_model("s3")
    known = {
        shape.name: shape.metadata["error"]["httpStatusCode"]
        for shape in service.error_shapes
        if "httpStatusCode" in shape.metadata.get("error", {})
    }
    shared = known.keys() & CODES.keys()
    assert shared >= {"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "BucketAlreadyExists", "InvalidObjectState"}
    assert {code: CODES[code].status for code in shared} == {code: known[code] for code in shared}


def test_a_code_that_is_missing_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        status("NoSuchThing")
