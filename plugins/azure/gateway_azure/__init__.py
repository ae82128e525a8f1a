"""Blobs as block blobs of an Azure container, with the account's key or a SAS.

An upload is open as long as its marker is there: an empty blob ``.uploads/NAME/TOKEN`` beside the blobs, which list
does not show. Azure keeps blocks that were not committed under the name of their blob, for a week; all uploads of one
name share them, so that completing one ends the others. https://learn.microsoft.com/rest/api/storageservices/put-block-list
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence

from gateway.api import (
    METADATA_PAIRS,
    METADATA_SIZE,
    AbortMPURequest,
    AbortMPUResult,
    BackendDown,
    BackendUnfit,
    BlobChanged,
    BlobExists,
    BlobMissing,
    BlobSize,
    Body,
    Capabilities,
    ChosenPart,
    CompleteMPURequest,
    CompleteMPUResult,
    CreateMPURequest,
    CreateMPUResult,
    DeleteRequest,
    DeleteResult,
    EmptyBody,
    GetRequest,
    GetResult,
    HeadRequest,
    HeadResult,
    HealthcheckRequest,
    HealthcheckResult,
    ListedBlob,
    ListRequest,
    ListResult,
    PutRequest,
    PutResult,
    Reply,
    Secret,
    Setting,
    Timing,
    UploadPartRequest,
    UploadPartResult,
    Values,
    hookimpl,
    pack_metadata,
    timing_settings,
    unpack_metadata,
    whole_size,
)
from gateway_azure.answers import blob_size, fingerprint, modified
from gateway_azure.container import Container
from gateway_azure.pieces import Pieces
from gateway_azure.signing import SharedKey, token_params

LARGEST_PUT = 5000 * 1024 * 1024
LARGEST_BLOCK = 4000 * 1024 * 1024
MARKERS = ".uploads/"  # no blob's name has a dot
META = "x-ms-meta-"
JOINED = f"{META}gwjoined"  # on a blob that an upload made: which upload, of which parts

_NAME = re.compile(r"[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}")
_PREFIX = re.compile(r"([\w-][\w.-]*/)*([\w-][\w.-]*)?", re.ASCII)
_RECEIPT = re.compile(
    r"([0-9]{5})[0-9a-f]{8}([0-9]{2})"
)  # the part's number, a nonce, and how many blocks hold the part
_LISTED = 500  # blobs that are asked for at once: about half of the largest document
_PROBE = 4096  # bytes
_BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob"}


def refuses(name: str) -> str | None:
    """Why ``name`` cannot be kept: it is not ``[a-z0-9]{1,40}(/[a-z0-9]{1,40}){0,2}`` of at most 80 characters."""
    if len(name) > 80 or not _NAME.fullmatch(name):
        return f"{name[:100]!r} is not one to three segments of a-z and 0-9, at most 80 characters"
    return None


class AzureBackend:
    """A container, or what begins with ``azure.prefix`` in it, as a location."""

    settings = (
        Setting("azure.account", "text", "The storage account."),
        Setting("azure.container", "text", "Container that holds the blobs; no other gateway may use it."),
        Setting("azure.url", "url", "Where the blob service is, if not ACCOUNT.blob.core.windows.net.", default=None),
        Setting("azure.prefix", "text", "What the name of every blob begins with.", default=""),
        *timing_settings("azure"),
    )
    secrets = (
        Secret("azure_account_key", "One of the account's two keys (or azure_sas instead).", required=False),
        Secret("azure_sas", "A SAS token with the rights read, create, write, delete and list.", required=False),
    )
    kit_version = 2
    capabilities = Capabilities(
        shared=True,
        largest_blob=LARGEST_PUT,
        most_parts=10_000,
        metadata_pairs=METADATA_PAIRS,
        metadata_size=METADATA_SIZE,
        refuses=refuses,
    )

    def __init__(self, values: Values) -> None:
        account, container, prefix = (values[f"azure.{key}"] for key in ("account", "container", "prefix"))
        if not re.fullmatch(r"[a-z0-9]{3,24}", account):
            raise _unfit("account", account, "write the 3 to 24 letters and digits that the Azure portal shows")
        if not re.fullmatch(r"[a-z0-9](-?[a-z0-9])+", container) or not 3 <= len(container) <= 63:
            raise _unfit("container", container, "a container has 3 to 63 lower-case letters, digits and single '-'")
        if not _PREFIX.fullmatch(prefix) or len(prefix) > 200:
            raise _unfit("prefix", prefix, "use letters, digits, '-', '_', '.' and '/', such as gateway/")
        url = values["azure.url"] or f"https://{account}.blob.core.windows.net"
        key, token = _credentials(account, values)
        self._container = Container(url, container, prefix, key, token, Timing.read(values, "azure"))

    async def open(self) -> None:
        """See whether the container is there and lets us in. Raises BackendUnfit, BackendDenied, BackendDown."""
        self._container.open()
        try:
            await self._container.page("", "", 1)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._container.close()

    @hookimpl
    async def put(self, request: PutRequest) -> PutResult:
        headers = {**_BLOCK_BLOB, **_meta(request.metadata)}
        name, size = _checked(request.name), request.size
        reply = await self._container.put(name, request.body, size, headers=headers, if_absent=request.if_absent)
        return PutResult(fingerprint(reply))

    @hookimpl
    async def get(self, request: GetRequest) -> GetResult:
        if request.length == 0:
            return await self._nothing(request)
        wanted = ""
        if request.start or request.length is not None:
            end = "" if request.length is None else request.start + request.length - 1
            wanted = f"bytes={request.start}-{end}"  # Azure knows no range that counts from the end
        reply = await self._container.get(_checked(request.name), wanted, request.expect)
        try:
            if reply.status != 416 and reply.body.size != 0:  # Azurite has an empty 206 where Azure has 416
                size = whole_size(reply, request.start, request.length)
                return GetResult(size, fingerprint(reply), body=reply.body)
        except BaseException:
            reply.body.close()
            raise
        reply.body.close()
        return await self._nothing(request)

    async def _nothing(self, request: GetRequest) -> GetResult:
        """A range without bytes, which HTTP cannot express."""
        found = await self.head(HeadRequest(name=request.name))
        if request.expect not in (None, found.fingerprint):
            raise BlobChanged(request.name)
        if request.length != 0 and request.start < found.size:
            raise BackendDown(f"{request.name}: the service gave none of the bytes from {request.start} on")
        return GetResult(found.size, found.fingerprint, body=EmptyBody())

    @hookimpl
    async def head(self, request: HeadRequest) -> HeadResult:
        reply = await self._container.head(_checked(request.name))
        metadata = unpack_metadata(reply.headers, META)
        return HeadResult(blob_size(reply), fingerprint(reply), metadata, modified(reply.headers.get("last-modified")))

    @hookimpl
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        await self._container.delete(_checked(request.name), request.expect)
        return DeleteResult()

    @hookimpl
    async def list(self, request: ListRequest) -> ListResult:
        """``after`` is a name, or a name and Azure's marker: Azure knows no "begin after this name"."""
        after, _, marker = request.after.partition("\n")
        found: list[ListedBlob] = []
        while True:
            most = min(_LISTED, request.limit - len(found))
            blobs, marker = await self._container.page(request.prefix, marker, most)
            found += [blob for blob in blobs if blob.name > after and not blob.name.startswith(MARKERS)]
            if not marker:
                return ListResult(tuple(found))
            if len(found) == request.limit:
                return ListResult(tuple(found), f"{found[-1].name}\n{marker}")

    @hookimpl
    async def healthcheck(self, request: HealthcheckRequest) -> HealthcheckResult:
        told = secrets.token_bytes(_PROBE)
        # not announced: so the first probe shows that Azure's word on what arrived is to be believed
        await self._container.put(_checked(request.probe), told, _PROBE, headers=_BLOCK_BLOB, announce=False)
        found = await self.get(GetRequest(name=request.probe))
        assert found.body is not None
        try:
            read = b"".join([chunk async for chunk in found.body])
        finally:
            found.body.close()
        await self.delete(DeleteRequest(name=request.probe))
        if read != told:
            raise BackendDown(f"the container {self._container.name} does not give back what was written")
        return HealthcheckResult({"container": self._container.name})

    @hookimpl
    async def createMPU(self, request: CreateMPURequest) -> CreateMPUResult:
        token = secrets.token_hex(8)
        headers = {**_BLOCK_BLOB, **_meta(request.metadata)}
        await self._container.put(_marker(_checked(request.name), token), b"", 0, headers=headers)
        return CreateMPUResult(token)

    @hookimpl
    async def uploadPart(self, request: UploadPartRequest) -> UploadPartResult:
        await self._container.head(_marker(request.name, request.token))
        stem, count = f"{request.number:05d}{secrets.token_hex(4)}", 0
        for piece in Pieces(request.body, request.size, LARGEST_BLOCK):
            if request.size == 0:
                await _read_nothing(piece)  # Azure has no empty blocks
                break
            params = {"comp": "block", "blockid": _block(request.token, stem, count)}
            await self._container.put(request.name, piece, piece.size or 0, params=params)
            count += 1
        return UploadPartResult(f"{stem}{count:02d}")

    @hookimpl
    async def completeMPU(self, request: CompleteMPURequest) -> CompleteMPUResult:
        """The blob itself tells which upload made it: asking again finds it done."""
        chosen = "".join(part.receipt for part in request.parts)
        mark = f"{request.token}{hashlib.sha256(chosen.encode()).hexdigest()}"
        found = await self._container.find(request.name)
        if found is None or found.headers.get(JOINED) != mark:
            found = await self._join(request, mark)
        await self._container.delete(_marker(request.name, request.token))
        size = sum(part.size for part in request.parts)
        return CompleteMPUResult(fingerprint(found), (BlobSize(request.name, size),))

    async def _join(self, request: CompleteMPURequest, mark: str) -> Reply:
        """Commit the blocks, or find that another call of the same upload has done so."""
        blocks = [block for part in request.parts for block in _blocks(request.token, part)]
        try:
            marker = await self._container.head(_marker(request.name, request.token))
            headers = {name: value for name, value in marker.headers.items() if name.startswith(META)}
            return await self._commit(request.name, blocks, {**headers, JOINED: mark}, request.if_absent)
        except (BlobExists, BlobMissing):
            found = await self._container.find(request.name)
            if found is not None and found.headers.get(JOINED) == mark:
                return found
            raise

    async def _commit(self, name: str, blocks: Sequence[str], headers: Mapping[str, str], if_absent: bool) -> Reply:
        """Put Block List. All other blocks under this name are thrown away. Raises BlobMissing, BlobExists."""
        rows = "".join(f"<Uncommitted>{block}</Uncommitted>" for block in blocks)
        content = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{rows}</BlockList>'.encode()
        params = {"comp": "blocklist"}
        return await self._container.put(
            name, content, len(content), params=params, headers=headers, if_absent=if_absent
        )

    @hookimpl
    async def abortMPU(self, request: AbortMPURequest) -> AbortMPUResult:
        opened = await self._markers(request.name)
        ended = opened if request.token is None else opened & {_marker(request.name, request.token)}
        for marker in sorted(ended):
            await self._container.delete(marker)
        if ended and ended == opened:
            await self._free_blocks(request.name)
        return AbortMPUResult()

    async def _markers(self, name: str) -> set[str]:
        """Those of the open uploads of this name."""
        found: set[str] = set()
        marker = ""
        while True:
            blobs, marker = await self._container.page(_marker(name, ""), marker, _LISTED)
            found.update(blob.name for blob in blobs if "/" not in blob.name.removeprefix(_marker(name, "")))
            if not marker:
                return found

    async def _free_blocks(self, name: str) -> None:
        """Only another commit takes away blocks that were not committed; else they are kept, and paid, for a week."""
        try:
            empty = await self._commit(name, [], {}, if_absent=True)
        except BlobExists:
            return  # an upload was completed: that took them away
        await self._container.delete(name, fingerprint(empty))


def _credentials(account: str, values: Values) -> tuple[SharedKey | None, Mapping[str, str]]:
    """The account's key, or the parameters of a SAS. Raises BackendUnfit."""
    key, sas = values.secret("azure_account_key"), values.secret("azure_sas")
    if (key is None) == (sas is None):
        seen = "no azure_account_key and no azure_sas" if key is None else "both azure_account_key and azure_sas"
        raise BackendUnfit(f"{seen} in private/", key="azure.account", fix="keep one of the two files there")
    try:
        return (SharedKey(account, key), {}) if key is not None else (None, token_params(sas or ""))
    except ValueError as fault:
        raise BackendUnfit(str(fault), key="azure.account", fix="copy it anew from the Azure portal") from fault


def _unfit(key: str, seen: str, fix: str) -> BackendUnfit:
    return BackendUnfit(f"{seen!r} cannot be the {key}", key=f"azure.{key}", fix=fix)


def _checked(name: str) -> str:
    if reason := refuses(name):
        raise BackendUnfit(reason)
    return name


def _meta(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"{META}{name}": value for name, value in pack_metadata(metadata).items()}


def _marker(name: str, token: str) -> str:
    return f"{MARKERS}{name}/{token}"


def _block(token: str, stem: str, number: int) -> str:
    """A block's id; those of one blob must be of one length."""
    return base64.b64encode(f"{token}{stem}{number:02d}".encode()).decode()


def _blocks(token: str, part: ChosenPart) -> Iterator[str]:
    """The ids of a part's blocks. Raises BlobMissing where we never gave such a receipt for this part."""
    given = _RECEIPT.fullmatch(part.receipt)
    if given is None or int(given[1]) != part.number or (int(given[2]) == 0) != (part.size == 0):
        raise BlobMissing(f"part {part.number} has not the receipt {part.receipt[:100]!r}")
    return (_block(token, part.receipt[:-2], number) for number in range(int(given[2])))


async def _read_nothing(body: Body) -> None:
    async for _ in body:
        raise BackendDown("a body has bytes, although none were promised")
