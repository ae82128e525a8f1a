"""Objects are written by forms: PostObject. The verifier has made a PUT of the form; what is different is the reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from gateway.model import Bucket, Reply
from gateway.operations.gateway import Gateway, Operation, key_of, the
from gateway.operations.put import put_object
from gateway.verifier import VerifiedCall
from gateway.wire import form, xml_write
from gateway.wire.request import bad_argument

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OF_URLS = "!#$%&'()*+,/:;=?@[]~"  # what is escaped or stands for itself already


async def post_object(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """PostObject: 204, or what success_action_status and success_action_redirect ask for."""
    where, key, fields = the(bucket), key_of(call), call.form
    target = redirect_of(fields)
    done = await put_object(gateway, call, bucket)
    etag = next(value for name, value in done.headers if name == "ETag")
    if target is not None:
        query = urlencode([("bucket", where.name), ("key", key), ("etag", etag)])
        return Reply(303, (("Location", _with_query(target, query)), *done.headers))
    url = form.address_of(call.call, where.name, key, in_host=call.route.in_host)
    headers = (("Location", url), *done.headers)
    status = fields.get("success_action_status", "")
    if status == "201":
        body = xml_write.post_response(url, where.name, key, etag)
        return Reply(201, (("Content-Type", "application/xml"), *headers), body)
    return Reply(200 if status == "200" else 204, headers)


def redirect_of(fields: Mapping[str, str]) -> str | None:
    """Where the form sends its browser afterwards; None where it names nothing that S3 could read as a URL.

    Raises InvalidArgument, before the file is read, for what no browser should be sent to (T75).
    """
    name = "success_action_redirect" if "success_action_redirect" in fields else "redirect"
    text = fields.get(name, "").strip(" \t")
    if _CONTROL.search(text):
        raise bad_argument(name, text[:64], f"{name} holds a control character.")
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme and parts.scheme not in ("http", "https"):
        raise bad_argument(name, text[:64], f"{name} must be an http or https URL.")
    return quote(text, safe=_OF_URLS) if parts.scheme and parts.netloc else None


def _with_query(url: str, query: str) -> str:
    rest, mark, fragment = url.partition("#")
    return f"{rest}{'&' if '?' in rest else '?'}{query}{mark}{fragment}"


OPERATIONS: dict[str, Operation] = {"PostObject": post_object}
