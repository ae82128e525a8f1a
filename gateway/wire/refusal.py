"""From an S3Error to the reply that carries it: the one place where an error document is made."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import S3Error
from gateway.model import Call, Facts, Reply
from gateway.wire import codes, xml_write

_XML = ("Content-Type", "application/xml")


def refusal(call: Call, error: S3Error, facts: Facts) -> Reply:
    """S3's error document with its status; 304 has none. ``facts`` are completed with the code and its cause.

    A client whose body is framed wrongly is out of step: nothing more is read from its connection (T56).
    """
    row = codes.CODES[error.code]
    facts = replace(facts, code=error.code, cause=error.cause)
    if row.status == 304:
        return Reply(304, error.headers, facts=facts)
    message = row.message if error.message is None else error.message
    body = xml_write.error(error.code, message, call.path, call.id, error.fields, call.host_id)
    return Reply(row.status, (_XML, *error.headers), body, close=error.code == "IncompleteBody", facts=facts)
