"""Hypothesis walks through objects, uploads, copies, conditions and listings beside a reference model made of dicts."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test
from pytest_twisted import ensureDeferred

LONG = os.environ.get("GATEWAY_LONG") == "1"
XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"
BUCKETS = ("first", "second")
SMALLEST = 5 * 1024**2  # of a part that is not the last

KEYS = st.sampled_from(
    [b"a", b"a/", b"a/b", b"a/b/c", b"a/\xc3\xa9", b"b", b"b//c", b"A", b"..", b"x y+%", b"\xf0\x9f\x98\x80"]
)
BODIES = st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"large" * 60_000]))
METADATA = st.dictionaries(st.sampled_from(["colour", "size"]), st.sampled_from(["green", "7", "grün"]), max_size=2)
WHERE = st.sampled_from(BUCKETS)


@dataclass(frozen=True)
class Kept:
    body: bytes
    etag: str
    metadata: dict[str, str]


@dataclass
class Upload:
    bucket: str
    key: bytes
    id: str
    metadata: dict[str, str]
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


def etag_of(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def meta(metadata: dict[str, str]) -> dict[str, str]:
    return {f"x-amz-meta-{name}": value for name, value in metadata.items()}


def page_of(names: list[bytes], prefix: bytes, delimiter: bytes, after: bytes) -> list[tuple[bytes, bool]]:
    """(name, whether it is a common prefix) by S3's rule: keys behind ``after``, never the prefix ``after``."""
    groups: dict[bytes, bool] = {}
    for name in names:
        if name.startswith(prefix) and name > after:
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (b"", b"", b"")
            group = prefix + head + found if found else name
            if group != after:
                groups[group] = bool(found)
    return sorted(groups.items())


def document(parts: list[tuple[int, str]]) -> bytes:
    rows = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in parts)
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


class Machine(RuleBasedStateMachine):
    """``rig`` is the gateway, ``model`` what it should hold."""

    new_rig: Any = None
    backend = "memory"

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.rig = type(self).new_rig(self.backend)
        self.model: dict[str, dict[bytes, Kept]] = {name: {} for name in BUCKETS}
        self.open: list[Upload] = []
        for name in BUCKETS:
            assert self.rig.call("PUT", name).status == 200

    # -- objects

    @rule(bucket=WHERE, key=KEYS, body=BODIES, metadata=METADATA)
    def put(self, bucket: str, key: bytes, body: bytes, metadata: dict[str, str]) -> None:
        answer = self.rig.call("PUT", bucket, key, body=body, headers=meta(metadata))
        assert (answer.status, answer.headers["etag"]) == (200, etag_of(body))
        self.model[bucket][key] = Kept(body, etag_of(body), metadata)

    @rule(bucket=WHERE, key=KEYS, body=BODIES, condition=st.sampled_from(["absent", "same", "other"]))
    def put_on_a_condition(self, bucket: str, key: bytes, body: bytes, condition: str) -> None:
        now = self.model[bucket].get(key)
        status = self._write(bucket, key, condition, body=body)
        assert status == self._expected(now, condition)
        if status == 200:
            self.model[bucket][key] = Kept(body, etag_of(body), {})

    def _condition(self, now: Kept | None, condition: str) -> dict[str, str]:
        if condition == "absent":
            return {"if-none-match": "*"}
        return {"if-match": now.etag if now and condition == "same" else '"another"'}

    def _expected(self, now: Kept | None, condition: str) -> int:
        if condition == "absent":
            return 200 if now is None else 412
        return 404 if now is None else 200 if condition == "same" else 412

    def _write(self, bucket: str, key: bytes, condition: str, **more: Any) -> int:
        headers = {**self._condition(self.model[bucket].get(key), condition), **more.pop("headers", {})}
        status: int = self.rig.call("PUT", bucket, key, headers=headers, **more).status
        return status

    @rule(bucket=WHERE, key=KEYS)
    def get(self, bucket: str, key: bytes) -> None:
        kept = self.model[bucket].get(key)
        answer, head = (self.rig.call(method, bucket, key) for method in ("GET", "HEAD"))
        if kept is None:
            assert (answer.status, answer.code, head.status) == (404, "NoSuchKey", 404)
            return
        assert (answer.status, answer.body, head.status) == (200, kept.body, 200)
        for each in (answer, head):
            assert each.headers["etag"] == kept.etag
            assert {name for name in each.headers if name.startswith("x-amz-meta-")} == set(meta(kept.metadata))

    @rule(bucket=WHERE, key=KEYS, first=st.integers(0, 400_000), length=st.integers(1, 300_000))
    def get_a_range(self, bucket: str, key: bytes, first: int, length: int) -> None:
        kept = self.model[bucket].get(key)
        answer = self.rig.call("GET", bucket, key, headers={"range": f"bytes={first}-{first + length - 1}"})
        if kept is None:
            assert answer.status == 404
        elif first >= len(kept.body):
            assert answer.status == 416
        else:
            assert (answer.status, answer.body) == (206, kept.body[first : first + length])

    @rule(bucket=WHERE, key=KEYS)
    def delete(self, bucket: str, key: bytes) -> None:
        assert self.rig.call("DELETE", bucket, key).status == 204
        self.model[bucket].pop(key, None)

    @rule(bucket=WHERE, key=KEYS, condition=st.sampled_from(["same", "other"]))
    def delete_on_a_condition(self, bucket: str, key: bytes, condition: str) -> None:
        now = self.model[bucket].get(key)
        status = self.rig.call("DELETE", bucket, key, headers=self._condition(now, condition)).status
        assert status == {200: 204}.get(self._expected(now, condition), self._expected(now, condition))
        if status == 204:
            del self.model[bucket][key]

    @rule(
        source=WHERE,
        from_key=KEYS,
        bucket=WHERE,
        key=KEYS,
        metadata=st.none() | METADATA,
        check=st.sampled_from(["", "absent", "same", "other"]),
    )
    def copy(
        self, source: str, from_key: bytes, bucket: str, key: bytes, metadata: dict[str, str] | None, check: str
    ) -> None:
        kept, now = self.model[source].get(from_key), self.model[bucket].get(key)
        spelt = "".join(f"%{byte:02X}" for byte in from_key)
        headers = {"x-amz-copy-source": f"/{source}/{spelt}"}
        if metadata is not None:
            headers |= {"x-amz-metadata-directive": "REPLACE", **meta(metadata)}
        if check:
            headers |= self._condition(now, check)
        answer = self.rig.call("PUT", bucket, key, headers=headers)
        if kept is None:
            assert answer.status in (404, 412)
        elif (source, from_key) == (bucket, key) and metadata is None:
            assert answer.status in (400, 404, 412)
        else:
            assert answer.status == (self._expected(now, check) if check else 200), answer
            if answer.status == 200:
                self.model[bucket][key] = Kept(kept.body, kept.etag, kept.metadata if metadata is None else metadata)

    # -- uploads

    @rule(target=uploads, bucket=WHERE, key=KEYS, metadata=METADATA)
    def begin(self, bucket: str, key: bytes, metadata: dict[str, str]) -> Upload:
        answer = self.rig.call("POST", bucket, key, {"uploads": ""}, headers=meta(metadata))
        id_ = re.search(rb"<UploadId>(.*?)<", answer.body)[1].decode()  # type: ignore[index]
        self.open.append(Upload(bucket, key, id_, metadata))
        return self.open[-1]

    @rule(upload=uploads, number=st.integers(1, 3), body=st.sampled_from([b"", b"small", b"other", b"L" * SMALLEST]))
    def upload_part(self, upload: Upload, number: int, body: bytes) -> None:
        query = {"partNumber": str(number), "uploadId": upload.id}
        answer = self.rig.call("PUT", upload.bucket, upload.key, query, body)
        if upload in self.open:
            assert (answer.status, answer.headers["etag"]) == (200, etag_of(body))
            upload.parts[number] = (etag_of(body), body)
        else:
            assert (answer.status, answer.code) == (404, "NoSuchUpload")

    @rule(upload=uploads, number=st.integers(1, 3), source=WHERE, from_key=KEYS)
    def upload_part_copy(self, upload: Upload, number: int, source: str, from_key: bytes) -> None:
        kept = self.model[source].get(from_key)
        headers = {"x-amz-copy-source": f"{source}/" + "".join(f"%{byte:02x}" for byte in from_key)}
        query = {"partNumber": str(number), "uploadId": upload.id}
        answer = self.rig.call("PUT", upload.bucket, upload.key, query, headers=headers)
        if kept is None or upload not in self.open:
            assert answer.status == 404
        else:
            assert answer.status == 200
            upload.parts[number] = (etag_of(kept.body), kept.body)

    @rule(upload=uploads, twice=st.booleans())
    def complete(self, upload: Upload, twice: bool) -> None:
        parts = sorted(upload.parts.items())
        chosen = document([(number, tag) for number, (tag, _) in parts])
        answer = self.rig.call("POST", upload.bucket, upload.key, {"uploadId": upload.id}, chosen)
        if upload not in self.open:
            return self._is_over(upload, answer)
        if not parts or any(len(body) < SMALLEST for _, (_, body) in parts[:-1]):
            assert answer.status == 400
            return None
        assert answer.status == 200, answer
        joined = hashlib.md5(b"".join(hashlib.md5(body).digest() for _, (_, body) in parts)).hexdigest()
        body = b"".join(body for _, (_, body) in parts)
        self.model[upload.bucket][upload.key] = Kept(body, f'"{joined}-{len(parts)}"', upload.metadata)
        self.open.remove(upload)
        if twice:
            again = self.rig.call("POST", upload.bucket, upload.key, {"uploadId": upload.id}, chosen)
            assert (again.status, again.body) == (200, answer.body)
        return None

    def _is_over(self, upload: Upload, answer: Any) -> None:
        """Completed before (the same answer again, or other parts), or aborted."""
        assert answer.status in (200, 400, 404)

    @rule(upload=consumes(uploads))
    def abort(self, upload: Upload) -> None:
        answer = self.rig.call("DELETE", upload.bucket, upload.key, {"uploadId": upload.id})
        if upload in self.open:
            assert answer.status == 204
            self.open.remove(upload)
        else:
            assert (answer.status, answer.code) == (404, "NoSuchUpload")

    # -- listings

    @rule(
        bucket=WHERE,
        prefix=st.sampled_from([b"", b"a", b"a/", b"a/b", b"zz", b"\xf0\x9f\x98\x80"]),
        delimiter=st.sampled_from([b"", b"/", b"b", b"//"]),
        after=st.sampled_from([b"", b"a", b"a/", b"a/b", b"zz"]),
        size=st.integers(1, 4),
        version=st.sampled_from(["1", "2"]),
    )
    def list(self, bucket: str, prefix: bytes, delimiter: bytes, after: bytes, size: int, version: str) -> None:
        expected = page_of(sorted(self.model[bucket]), prefix, delimiter, after)
        if version == "1" and delimiter and after.startswith(prefix) and delimiter in after[len(prefix) :]:
            group = prefix + after[len(prefix) :].partition(delimiter)[0] + delimiter  # a marker skips all of it
            expected = [row for row in expected if row != (group, True)]
        found: list[tuple[bytes, bool]] = []
        query = {"prefix": prefix.decode(), "delimiter": delimiter.decode(), "max-keys": str(size)}
        query |= {"list-type": "2", "start-after": after.decode()} if version == "2" else {"marker": after.decode()}
        for _ in range(len(expected) // size + 2):
            answer = self.rig.call("GET", bucket, query={name: value for name, value in query.items() if value})
            root = ElementTree.fromstring(answer.body)
            page = [((node.findtext(f"{XML}Key") or "").encode(), False) for node in root.iter(f"{XML}Contents")]
            for node in root.iter(f"{XML}Contents"):
                kept = self.model[bucket][(node.findtext(f"{XML}Key") or "").encode()]
                assert node.findtext(f"{XML}ETag") == kept.etag
                assert node.findtext(f"{XML}Size") == str(len(kept.body))
            page += [
                ((node.findtext(f"{XML}Prefix") or "").encode(), True) for node in root.iter(f"{XML}CommonPrefixes")
            ]
            assert len(page) <= size
            found += sorted(page)
            if root.findtext(f"{XML}IsTruncated") == "false":
                break
            if version == "2":
                query["continuation-token"] = root.findtext(f"{XML}NextContinuationToken") or ""
            else:
                query["marker"] = root.findtext(f"{XML}NextMarker") or page[-1][0].decode()
        assert found == expected

    @rule(bucket=WHERE)
    def list_uploads(self, bucket: str) -> None:
        root = ElementTree.fromstring(self.rig.call("GET", bucket, query={"uploads": ""}).body)
        found = [
            (node.findtext(f"{XML}Key") or "", node.findtext(f"{XML}UploadId")) for node in root.iter(f"{XML}Upload")
        ]
        assert sorted(found) == sorted((each.key.decode(), each.id) for each in self.open if each.bucket == bucket)

    # -- time passes

    @rule()
    def reap(self) -> None:
        self.rig.reap()

    @rule()
    def reopen(self) -> None:
        self.rig.reopen()

    def teardown(self) -> None:
        try:
            self.rig.reap()
            for bucket in BUCKETS:
                for key in self.model[bucket]:
                    self.get(bucket, key)
            for upload in self.open:
                self.rig.call("DELETE", upload.bucket, upload.key, {"uploadId": upload.id})
            self.rig.reap()
            assert self.rig.stored() == self.rig.known(), "blobs that nobody knows, or rows without blobs"
            self.rig.reopen()
            self.rig.reap()
            assert self.rig.stored() == self.rig.known()
        finally:
            self.rig.close()


@pytest.mark.parametrize("backend", ["memory", "local"])
@ensureDeferred
async def test_the_gateway_is_what_the_model_says(new_rig: Any, beside_the_reactor: Any, backend: str) -> None:
    machine = type("Machine", (Machine,), {"new_rig": staticmethod(new_rig), "backend": backend})
    chosen = settings(
        max_examples=2000 if LONG else 60 if backend == "memory" else 20,
        stateful_step_count=30,
        deadline=None,
        derandomize=not LONG,
        phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],  # shrinking takes minutes
        suppress_health_check=list(HealthCheck),
    )
    await beside_the_reactor(lambda: run_state_machine_as_test(machine, settings=chosen))
