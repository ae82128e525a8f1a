"""A form (multipart/form-data) taken apart while it comes: small fields first, then one file, then nothing that counts.

Sources: RFC 7578 and RFC 2046 section 5.1; "POST Object" in S3's API Reference: what follows the file is ignored, and
all before it is at most 20 KB.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.errors import S3Error

MOST_BEFORE = 20_480  # bytes before the file: S3's MaxPostPreDataLengthBytes
MOST_PARTS = 100
FILE = "file"

_END_OF_HEAD = b"\r\n\r\n"
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
_PARAMETER = re.compile(r';[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:\\.|[^"\\])*)"|([^;"]*))[ \t]*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]|[0-9A-Za-z'()+_,\-./:=? ]{1,69}[0-9A-Za-z'()+_,\-./:=?]")


def malformed(cause: str) -> S3Error:
    """MalformedPOSTRequest; the cause is for the log."""
    return S3Error("MalformedPOSTRequest", cause=cause)


def is_form(content_type: str) -> bool:
    """Whether a Content-Type is that of a form, whatever its boundary."""
    return content_type.partition(";")[0].strip(" \t").lower() == "multipart/form-data"


def boundary_of(content_type: str) -> bytes:
    """The boundary that a form's Content-Type names; MalformedPOSTRequest where it names none, two, or a wrong one."""
    kind, _, rest = content_type.partition(";")
    found = _parameters(";" + rest if rest else "")
    boundary = found.get("boundary", "")
    if kind.strip(" \t").lower() != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise malformed("the Content-Type names no usable boundary")
    return boundary.encode("ascii")


def _parameters(text: str) -> dict[str, str]:
    r"""``; name=value; name="value"``, names in lower case, each once. ``\"`` and ``\\`` are escapes in quotes; any
    other backslash is part of a path, as some browsers send it."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            if text[at:].strip(" \t;"):
                raise malformed("a parameter of a header cannot be read")
            break
        name, quoted, plain = match[1].lower(), match[2], match[3]
        if name in found:
            raise malformed(f"the parameter {name} is given twice")
        found[name] = plain.strip(" \t") if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        at = match.end()
    return found


class FormReader:
    """Fed with a form's bytes in any pieces. ``feed`` gives the bytes of the file that came with them.

    ``fields``: lower-case names -> values, complete as soon as ``in_file``; a repeated x-amz-meta-* is joined with ",".
    ``filename``: of the file, "" where none was told. ``before``: how many bytes came before the file's first.

    A delimiter is CR LF "--" boundary, and "--" or CR LF behind it; the same bytes with anything else behind them are
    content. What comes before the first one is no part of the form (RFC 2046). Raises S3Error: MalformedPOSTRequest,
    MaxPostPreDataLengthExceededError, InvalidArgument (a field twice, no file).
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # so that the first delimiter is one like the others
        self._passed = -2  # bytes of the form that came before what is held
        self._at = 0  # where in ``_held`` the head of the next part starts, once a delimiter was seen
        self._parts = 0
        self._name: str | None = None  # of the field whose value comes; None: a head comes; before all: a delimiter
        self._step = self._preamble
        self._closed = False
        self.in_file = False
        self.file_ended = False
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.before = 0

    def feed(self, data: bytes) -> bytes:
        """The file's bytes in ``data``, b"" while there are none."""
        if self.in_file:
            return self._file_bytes(data)
        self._held += data
        while not self.in_file and self._step():
            pass
        if not self.in_file:
            self._limit(len(self._held))
            return b""
        self.before = self._passed + self._at
        rest, self._held = self._held[self._at :], b""
        return self._file_bytes(rest)

    def finish(self) -> None:
        """The form has come to its end; raises where it should not have."""
        if self._closed:
            return
        if self.in_file:
            raise malformed("the form ends without its closing delimiter")
        raise malformed("the form ends before its file")

    # -- before the file

    def _limit(self, more: int) -> None:
        """Whatever the form holds behind so many bytes is not looked at, however much of it came at once."""
        if self._passed + more > MOST_BEFORE:
            raise S3Error("MaxPostPreDataLengthExceededError", fields={"MaxPostPreDataLengthBytes": str(MOST_BEFORE)})

    def _preamble(self) -> bool:
        return self._delimited(0) is not None

    def _delimited(self, start: int) -> bytes | None:
        """What stands before the next delimiter, from ``start`` on; the next head is expected after it."""
        begin, end, closing = self._find(self._held, max(start, self._at))
        if end < 0:
            self._at = max(start, begin if begin >= 0 else len(self._held) - len(self._delimiter))
            return None
        self._limit(end)
        content = self._held[start:begin]
        if closing:
            raise S3Error(
                "InvalidArgument",
                "POST requires exactly one file upload per request.",
                fields={"ArgumentName": FILE, "ArgumentValue": "0"},
            )
        self._passed += end
        self._held = self._held[end:]
        self._at = 0
        self._step = self._head
        return content

    def _find(self, data: bytes, at: int) -> tuple[int, int, bool]:
        """(where the next delimiter begins, where what follows it begins, whether it closes the form).

        The end is -1 where none ends in ``data``; then the beginning is -1, or where one may begin.
        """
        while (begin := data.find(self._delimiter, at)) >= 0:
            end = begin + len(self._delimiter)
            after = data[end : end + 2]
            if after == b"\r\n":
                return begin, end, False
            if after == b"--":
                return begin, end + 2, True
            if len(after) < 2 and after in (b"", b"\r", b"-"):
                return begin, -1, False
            at = begin + 2
        return -1, -1, False

    def _head(self) -> bool:
        """The head of a part lies between the delimiter's CR LF and an empty line."""
        end = self._held.find(_END_OF_HEAD, self._at)
        if end < 0:
            self._at = max(0, len(self._held) - 3)
            return False
        start = end + len(_END_OF_HEAD)
        self._limit(start)
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise malformed(f"more than {MOST_PARTS} parts")
        name, filename = _disposition(self._held[2:end])
        if name == FILE:
            self.in_file, self.filename, self._at = True, filename, start
            return True
        self._passed += start
        self._held = self._held[start:]
        self._at, self._name, self._step = 0, name, self._value
        return True

    def _value(self) -> bool:
        content = self._delimited(0)
        if content is None:
            return False
        name = self._name or ""
        try:
            value = content.decode("utf-8")
        except UnicodeDecodeError:
            raise malformed(f"the field {name[:64]} is not UTF-8") from None
        if name not in self.fields:
            self.fields[name] = value
        elif name.startswith("x-amz-meta-"):
            self.fields[name] += "," + value
        else:
            raise S3Error(
                "InvalidArgument",
                "A form field is given twice.",
                fields={"ArgumentName": name[:64], "ArgumentValue": value[:64]},
            )
        return True

    # -- the file, and what follows it

    def _file_bytes(self, data: bytes) -> bytes:
        if self._closed:
            return b""
        data = self._held + data if self._held else data
        if self.file_ended:
            self._look_for_end(data)
            return b""
        begin, end, closing = self._find(data, 0)
        if end < 0:
            keep = begin if begin >= 0 else self._tail(data)
            self._held = data[keep:]
            return data[:keep]
        self.file_ended, self._held = True, b""
        if closing:
            self._closed = True
        else:
            self._look_for_end(data[end:])
        return data[:begin]

    def _tail(self, data: bytes) -> int:
        """Where the last bytes of ``data`` begin that may be the start of a delimiter (it holds just one CR)."""
        at = data.rfind(b"\r", max(0, len(data) - len(self._delimiter)))
        return at if at >= 0 and self._delimiter.startswith(data[at:]) else len(data)

    def _look_for_end(self, data: bytes) -> None:
        closing = self._delimiter + b"--"
        self._closed = closing in data
        self._held = b"" if self._closed else data[-len(closing) :]


def _disposition(head: bytes) -> tuple[str, str]:
    """The field's name in lower case, and the file name told with it, from the head of a part (its lines, CR LF
    between them)."""
    lines: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n") if head else ():
        match = _LINE.fullmatch(line)
        if match is None or match[1].lower() in lines:
            raise malformed("the head of a part cannot be read")
        lines[match[1].lower()] = match[2].strip(b" \t")
    if lines.get(b"content-type", b"").lower().startswith(b"multipart/mixed"):
        raise malformed("a form inside a form")
    try:
        kind, mark, rest = lines.get(b"content-disposition", b"").decode("utf-8").partition(";")
    except UnicodeDecodeError:
        raise malformed("the head of a part is not UTF-8") from None
    found = _parameters(mark + rest)
    name = found.get("name", "")
    if kind.strip(" \t").lower() != "form-data" or not name:
        raise malformed("a part has no name")
    return name.lower(), _extended(found.get("filename*", "")) or found.get("filename", "")


def _extended(text: str) -> str:
    """``UTF-8''na%C3%AFve.txt`` (RFC 8187), as some programs still send it; "" for anything else."""
    charset, _, rest = text.partition("'")
    _, mark, value = rest.partition("'")
    if charset.lower() != "utf-8" or not mark:
        return ""
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return ""
