"""A client that writes down what it did. Registers: bucket/key, bucket, upload ID, and upload ID/part."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.campaign.history import History, Pending, Written, content
from tests.campaign.linear import NOTHING, Step, saw, saw_other, swapped, wrote
from tests.campaign.signing import Answer, Client, Cut, NoAnswer, NobodyThere

THERE = "there"
MISSING = ("NoSuchKey", "NoSuchBucket")


@dataclass(slots=True)
class Upload:
    """A multipart upload as its client knows it: ``value`` is what it shall become, ``sizes`` those of its parts."""

    id: str
    where: str
    value: str
    sizes: dict[int, int] = field(default_factory=dict)

    @property
    def register(self) -> str:
        return f"upload {self.id}"

    def bytes_of(self, number: int) -> bytes:
        return content(f"{self.id}/{number}/{self.sizes[number]}", self.sizes[number])


class Actor:
    """Answers that S3 never gives here, a 500 for instance, are problems; no answer is none."""

    def __init__(self, client: Client, history: History) -> None:
        self.client = client
        self.history = history

    def _refused(self, asked: Pending, answer: Answer) -> None:
        """A refusal changes nothing; what is none of the expected ones is told."""
        asked.answer = (NOTHING,)
        codes = answer.texts("Code")
        if answer.status in (503, 409) or (answer.status == 404 and codes and codes[0] in MISSING):
            return
        self.history.problem(f"{asked.what} {asked.register}: {answer.status} {answer.body[:300]!r}")

    # ------------------------------------------------------------ objects

    def put(self, where: str, size: int = 1000, absent: bool = False, sized: bool = True) -> Written:
        """``absent``: only where the key is not there. ``sized`` False: in HTTP chunks."""
        value = self.history.value(size, where)
        more: dict[str, Any] = {"if_none_match": "*"} if absent else {}
        more["sized"] = sized
        done = swapped(None, value.id) if absent else wrote(value.id)
        with self.history.asking(where, f"put {value.id}{' if absent' if absent else ''}", done) as asked:
            answer = self._ask(asked, "PUT", f"/{where}", content(value.id, size), x_amz_meta_id=value.id, **more)
            if answer is None:
                return value
            if answer.status == 200:
                asked.answer = (done,)
                if answer.etag != value.etag:
                    self.history.problem(f"put {value.id}: ETag {answer.etag}")
            elif answer.status == 412 and absent:
                asked.answer = (saw_other(None),)
            else:
                self._refused(asked, answer)
        return value

    def swap(self, where: str, old: Written, size: int = 100) -> Written:
        """Put over the very bytes that were seen (If-Match; whoever has the same bytes has the same ETag)."""
        value = self.history.value(size, where)
        with self.history.asking(where, f"put {value.id} over {old.id}") as asked:
            body = content(value.id, size)
            answer = self._ask(asked, "PUT", f"/{where}", body, x_amz_meta_id=value.id, if_match=f'"{old.etag}"')
            done = Step(seen=self.history.ids_like(where, old.etag, unclear=True), wrote=(value.id,))
            if answer is None:
                asked.unknown = (done,)
            elif answer.status == 200:
                asked.answer = (done,)
            elif answer.status in (412, 404):
                asked.answer = (Step(seen=self.history.ids_like(where, old.etag, unclear=False), other=True),)
            else:
                self._refused(asked, answer)
        return value

    def copy(self, source: str, where: str) -> None:
        """A copy is a value of its own, with bytes that its source had meanwhile."""
        id_ = self.history.value(0, where).id
        self.history.note(Written(id_, ""))
        with (
            self.history.asking(where, f"copy {id_} from {source}", wrote(id_)) as asked,
            self.history.asking(source, f"be copied to {id_}") as read,
        ):
            more: dict[str, Any] = {
                "x_amz_copy_source": source,
                "x_amz_metadata_directive": "REPLACE",
            }
            answer = self._ask(asked, "PUT", f"/{where}", x_amz_meta_id=id_, **more)
            if answer is None:
                return
            if answer.status != 200 or not answer.texts("ETag"):
                self._refused(asked, answer)
                read.answer = (saw(None) if answer.status == 404 else NOTHING,)
                return
            etag = re.sub("&[^;]*;", "", answer.texts("ETag")[0]).strip('"')
            asked.answer = (wrote(id_),)
            read.answer = (Step(seen=self.history.ids_like(source, etag, unclear=True) or ("?",)),)
            self.history.note(Written(id_, etag))

    def delete(self, where: str) -> None:
        with self.history.asking(where, "delete", wrote(None)) as asked:
            answer = self._ask(asked, "DELETE", f"/{where}")
            if answer is None:
                return
            if answer.status == 204:
                asked.answer = (wrote(None),)
            else:
                self._refused(asked, answer)

    def delete_many(self, bucket: str, keys: list[str]) -> None:
        """One call, and one operation of each key."""
        rows = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete>{rows}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        with ExitStack() as stack:
            asking = (self.history.asking(f"{bucket}/{key}", "delete with others", wrote(None)) for key in keys)
            asked = [stack.enter_context(each) for each in asking]
            answer = self._ask(asked[0], "POST", f"/{bucket}", body, {"delete": ""}, content_md5=digest)
            deleted = answer.texts("Key") if answer is not None and not answer.texts("Code") else []
            for each, key in zip(asked, keys, strict=True):
                if key in deleted:
                    each.answer = (wrote(None),)
                elif answer is not None:
                    self._refused(each, answer)

    def get(self, where: str) -> Written | None:
        """What is there, whole; None where nothing is, or nobody answered."""
        with self.history.asking(where, "get") as asked:
            answer = self._ask(asked, "GET", f"/{where}")
            if answer is None:
                return None
            if answer.status == 404 and answer.texts("Code")[0] in MISSING:
                asked.answer = (saw(None),)
                asked.what = "get: nothing"
                return None
            id_ = answer.headers.get("x-amz-meta-id", "")
            value = self.history.written.get(id_)
            digest = hashlib.md5(answer.body).hexdigest()
            asked.answer = (saw(id_),)
            asked.what = f"get: {id_}"
            if answer.status != 200 or value is None:
                asked.answer = (NOTHING,)
                self.history.problem(f"get {where}: {answer.status} {answer.body[:300]!r}")
            elif value.etag not in ("", answer.etag) or self.history.digests.get(answer.etag) != digest:
                self.history.problem(f"get {where}: {id_} has {len(answer.body)} bytes that nobody wrote")
            return value

    def head(self, where: str) -> None:
        """Like ``get``, of what a HEAD tells."""
        with self.history.asking(where, "head") as asked:
            answer = self._ask(asked, "HEAD", f"/{where}")
            if answer is None:
                return
            id_ = answer.headers.get("x-amz-meta-id", "")
            value = self.history.written.get(id_)
            asked.answer = (saw(None if answer.status == 404 else id_),)
            asked.what = f"head: {id_ or 'nothing'}"
            if answer.status == 404:
                return
            if answer.status != 200 or value is None:
                self._refused(asked, answer)
            elif value.etag not in ("", answer.etag) or answer.etag not in self.history.digests:
                self.history.problem(f"head {where}: {id_} has ETag {answer.etag}, which nobody wrote")

    # ------------------------------------------------------------ buckets

    def create_bucket(self, name: str) -> None:
        with self.history.asking(name, "create", wrote(THERE)) as asked:
            answer = self._ask(asked, "PUT", f"/{name}")
            if answer is not None:
                asked.answer = (wrote(THERE),)
                if answer.status != 200:
                    self._refused(asked, answer)

    def delete_bucket(self, name: str) -> None:
        with self.history.asking(name, "delete", wrote(None)) as asked:
            answer = self._ask(asked, "DELETE", f"/{name}")
            if answer is not None:
                asked.answer = (swapped(THERE, None),)
                if answer.status != 204:
                    self._refused(asked, answer)

    def head_bucket(self, name: str) -> bool:
        with self.history.asking(name, "head") as asked:
            answer = self._ask(asked, "HEAD", f"/{name}")
            if answer is None:
                return False
            asked.answer = (saw(THERE if answer.status == 200 else None),)
            if answer.status not in (200, 404):
                self._refused(asked, answer)
            return answer.status == 200

    # ------------------------------------------------------------ uploads

    def create_upload(self, where: str) -> Upload | None:
        """None where nobody answered: such an upload is nobody's."""
        value = self.history.value(0, where)
        try:
            answer = self.client.ask("POST", f"/{where}", query={"uploads": ""}, x_amz_meta_id=value.id)
        except NoAnswer:
            return None
        if answer.status != 200:
            self.history.problem(f"create upload {where}: {answer.status}")
            return None
        upload = Upload(answer.texts("UploadId")[0], where, value.id)
        with self.history.asking(upload.register, f"opened for {value.id}") as asked:
            asked.answer = (wrote(value.id),)
        return upload

    def part(self, upload: Upload, number: int, size: int) -> bool:
        """Is it there for sure?"""
        upload.sizes[number] = size
        body = upload.bytes_of(number)
        etag = hashlib.md5(body).hexdigest()
        with self.history.asking(f"{upload.register}/{number}", f"part {etag}", wrote(etag)) as asked:
            query = {"partNumber": str(number), "uploadId": upload.id}
            answer = self._ask(asked, "PUT", f"/{upload.where}", body, query)
            if answer is None:
                return False
            asked.answer = (wrote(etag),)
            if answer.status != 200:
                self._refused(asked, answer)
            return answer.status == 200

    def complete(self, upload: Upload, again: bool = False) -> bool:
        """Was it answered? ``again``: the answer to the first time was lost; what that did is not done once more."""
        rows, whole, tags = "", b"", b""
        for number in sorted(upload.sizes):
            body = upload.bytes_of(number)
            digest = hashlib.md5(body)
            rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{digest.hexdigest()}</ETag></Part>"
            whole, tags = whole + body, tags + digest.digest()
        etag = f"{hashlib.md5(tags).hexdigest()}-{len(upload.sizes)}"
        id_ = upload.value
        self.history.note(Written(id_, etag), hashlib.md5(whole).hexdigest())
        with (
            self.history.asking(upload.where, f"complete {id_}", wrote(id_)) as asked,
            self.history.asking(upload.register, "complete", wrote(None)) as ended,
        ):
            body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
            answer = self._ask(asked, "POST", f"/{upload.where}", body, {"uploadId": upload.id})
            if answer is None:
                return False
            asked.answer, ended.answer = (wrote(id_), NOTHING)[: 1 + again], (wrote(None),)
            if answer.status != 200 or not answer.texts("ETag"):
                self._refused(asked, answer)
                ended.answer = (NOTHING,)
            return True

    def abort(self, upload: Upload) -> None:
        with self.history.asking(upload.register, "abort", wrote(None)) as asked:
            answer = self._ask(asked, "DELETE", f"/{upload.where}", query={"uploadId": upload.id})
            if answer is None:
                return
            asked.answer = (wrote(None),)
            if answer.status != 204:
                self._refused(asked, answer)

    def list_parts(self, upload: Upload) -> bool:
        """Is the upload still open? What it says of its parts is written down."""
        with self.history.asking(upload.register, "list parts") as asked:
            answer = self._ask(asked, "GET", f"/{upload.where}", query={"uploadId": upload.id})
            if answer is None:
                return False
            asked.answer = (saw(upload.value if answer.status == 200 else None),)
            if answer.status == 404:
                return False
            if answer.status != 200:
                self._refused(asked, answer)
                return False
        told = dict(zip(answer.texts("PartNumber"), answer.texts("ETag"), strict=True))
        for number in upload.sizes:
            etag = told.get(str(number), "").replace("&quot;", "").replace("&#34;", "").strip('"')
            with self.history.asking(f"{upload.register}/{number}", f"listed {etag}") as asked:
                asked.answer = (saw(etag or None),)
        return True

    def _ask(
        self,
        asked: Pending,
        method: str,
        path: str,
        body: bytes = b"",
        query: Any = None,
        **more: Any,
    ) -> Answer | None:
        try:
            answer = self.client.ask(method, path, body, query or {}, **more)
        except NoAnswer as fault:
            asked.cut, asked.unheard = isinstance(fault, Cut), isinstance(fault, NobodyThere)
            return None
        if answer.status in (500, 502, 504):
            self.history.problem(f"{asked.what} {asked.register}: {answer.status} {answer.body[:300]!r}")
            return None
        return answer
