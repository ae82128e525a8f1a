"""A form upload as a call: what its fields mean, and its file as a body.

Source: "POST Object" and "Browser-Based Uploads Using POST" in S3's API Reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote_from_bytes

from gateway.errors import S3Error
from gateway.model import Body, Call
from gateway.model.record import record
from gateway.wire import xml_read
from gateway.wire.form_reader import FormReader, boundary_of
from gateway.wire.post_policy import Bounds
from gateway.wire.request import bad_argument

_FILENAME = "${filename}"
# What proves the form is taken as it stands; no base64 and no hex digit looks like a variable.
PROOFS = frozenset(("policy", "signature", "x-amz-signature"))
_AUTHENTICATION = frozenset(
    ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token")
)
# They say how bytes travel in a PUT; in a form they mean nothing, as any field that S3 does not know.
_OF_A_BODY = frozenset(("x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer"))
_CONTENT = frozenset(
    (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "expires",
    )
)
# Headers of the call itself that only ever make it fail, so that nobody has to have signed them.
_CHECKS = ("if-match", "if-none-match", "x-amz-expected-bucket-owner")


@record(frozen=True, slots=True)
class Form:
    """``fields``: lower-case names -> values with ``${filename}`` filled in. ``key``: as bytes, not checked yet.

    ``most``: the size of the file if it is the last thing in the form, as the Content-Length tells; it may be less.
    """

    fields: Mapping[str, str]
    key: bytes
    most: int
    reader: FormReader
    source: AsyncIterator[bytes]
    first: bytes
    body: Body

    def file(self, bounds: Bounds) -> Body:
        """The file; reading it raises EntityTooLarge or EntityTooSmall outside of ``bounds``.

        Both are raised at once where the Content-Length tells as much.
        """
        bounds.check_announced(self.most)
        return _File(self, bounds)


async def read(call: Call) -> Form:
    """Read a form up to its file. Raises S3Error: MissingContentLength, and as FormReader does."""
    reader = FormReader(boundary_of(call.headers.get("content-type", "")))
    length = call.body.size
    if length is None or "content-length" not in call.headers:
        raise S3Error("MissingContentLength")
    source = aiter(call.body)
    first = b""
    while not reader.in_file:
        data = await anext(source, b"")
        if not data:
            reader.finish()
        first = reader.feed(data)
    fields = _filled(reader.fields, reader.filename)
    key = fields.get("key", "")
    if not key:
        raise missing("key")
    closing = len(boundary_of(call.headers["content-type"])) + len("\r\n----\r\n")
    most = max(0, length - reader.before - closing)
    return Form(fields, key.encode("utf-8"), most, reader, source, first, call.body)


def missing(field: str) -> S3Error:
    """S3's answer to a form without a field that it must have before its file."""
    message = (
        f"Bucket POST must contain a field named '{field}'.  If it is specified, please check the order of the fields."
    )
    return bad_argument(field, "", message)


def _filled(fields: Mapping[str, str], filename: str) -> dict[str, str]:
    """The fields with the file's own name, without the folders it came from, for ``${filename}``."""
    own = filename.replace("\\", "/").rpartition("/")[2]
    return {
        name: value if name in PROOFS else value.replace(_FILENAME, own) if _FILENAME in value else value
        for name, value in fields.items()
    }


def headers_of(form: Form, call: Call) -> dict[str, str]:
    """What a PUT of the same object would say in its headers. Raises MalformedXML for a broken ``tagging``."""
    headers = {name: call.headers[name] for name in _CHECKS if name in call.headers}
    for name, value in form.fields.items():
        value = value.strip(" \t")
        if name == "acl":
            headers["x-amz-acl"] = value
        elif name == "tagging":
            headers["x-amz-tagging"] = xml_read.tagging(value.encode("utf-8"))
        elif name in _CONTENT or (name.startswith("x-amz-") and name not in _AUTHENTICATION and name not in _OF_A_BODY):
            headers[name] = value
    return headers


def address_of(call: Call, bucket: str, key: bytes, *, in_host: bool) -> str:
    """Where the object can be read. S3 escapes the slashes of a key here too."""
    path = quote_from_bytes(key, safe="-._~")
    place = path if in_host else f"{bucket}/{path}"
    return f"http{'s' if call.secure else ''}://{call.headers.get('host', '')}/{place}"


class _File:
    """The file of a form. Its length is known at its end only, for fields that S3 ignores may follow it.

    Its last bytes may come before the form's end was seen: whoever keeps them does so when reading ended.
    """

    def __init__(self, form: Form, bounds: Bounds) -> None:
        self.size: int | None = None
        self._form = form
        self._bounds = bounds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        form, bounds = self._form, self._bounds
        chunk, count = form.first, 0
        while True:
            count += len(chunk)
            if count > bounds.most:
                raise bounds.too_large(max(count, form.most))
            if chunk:
                yield chunk
            data = await anext(form.source, b"")
            if not data:
                break
            chunk = form.reader.feed(data)
        form.reader.finish()
        if count < bounds.least:
            raise bounds.too_small(count)

    def close(self) -> None:
        self._form.body.close()
