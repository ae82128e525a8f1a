"""The straight line: a call comes in, is routed, verified and authorised, an operation runs, a reply goes out.

Every error on the way becomes a reply here and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gateway import access, verifier
from gateway.errors import BackendError, BlobMissing, ClientGone, S3Error, to_s3
from gateway.model import Bucket, Call, Facts, Reply
from gateway.operations import OPERATIONS, Gateway
from gateway.wire import unset
from gateway.wire.refusal import refusal
from gateway.wire.route import PREFLIGHT, refuse_unsupported, route

log = Logger()


class Gate:
    """Answers calls. ``rules`` say which signatures pass; ``domains`` are the host suffixes for virtual-host style."""

    def __init__(self, gateway: Gateway, rules: verifier.Rules, domains: tuple[str, ...] = ()) -> None:
        self._gateway = gateway
        self._verifier = verifier.Verifier(gateway.catalogue, rules, domains)
        self._domains = domains

    async def answer(self, call: Call) -> Reply:
        """The reply to a call; raises ClientGone or CancelledError where nobody waits for one any more."""
        facts = Facts()
        try:
            target = route(call, self._domains)
            facts = Facts(operation=target.operation, bucket=target.bucket or "", key=target.key or b"")
            if target.operation == PREFLIGHT:
                raise unset.refuse_preflight(call.headers, target.bucket, target.key)
            verified = await self._verifier.verify(call, target)
            target = verified.route  # a form tells its key and its headers inside
            who = verified.account.name if verified.account else ""
            facts = Facts(facts.operation, facts.bucket, target.key or b"", verified.access_key, who)
            bucket = await self._authorise(verified)
            operation = OPERATIONS.get(target.operation)
            if operation is None:
                raise S3Error("NotImplemented", cause=f"{target.operation} is not built yet")
            refuse_unsupported(target.operation, target.headers)
            reply = await operation(self._gateway, verified, bucket)
            return Reply(reply.status, reply.headers, reply.body, reply.length, reply.close, facts)
        except S3Error as error:
            return await self._refused(call, error, facts)
        except BackendError as fault:
            if isinstance(fault, BlobMissing):  # acknowledged, and not there any more: nobody but the operator can help
                log.error("{bucket}/{key!r}: {fault}", bucket=facts.bucket, key=facts.key.decode(), fault=fault)
            return refusal(call, to_s3(fault), facts)
        except (ClientGone, CancelledError):
            raise
        except Exception:  # our own bug: the client gets a clean 500, the log gets the whole story
            log.failure("request {request_id} failed", request_id=call.id)
            return refusal(call, S3Error("InternalError", cause="unexpected failure, see the log"), facts)

    async def _refused(self, call: Call, error: S3Error, facts: Facts) -> Reply:
        """A refused HeadBucket tells the region all the same, as S3's does: SDKs learn it so, unsigned or signed for
        another one. A bucket that is not there has this gateway's.
        """
        reply = refusal(call, error, facts)
        if facts.operation != "HeadBucket" or reply.status not in (400, 403):
            return reply
        bucket = await self._gateway.catalogue.buckets.find(facts.bucket)
        region = (bucket and bucket.constraint) or self._gateway.region
        return replace(reply, headers=(*reply.headers, ("x-amz-bucket-region", region)))

    async def _authorise(self, verified: verifier.VerifiedCall) -> Bucket | None:
        """The bucket that the call is about; raises S3Error where it is missing or the account may not do this."""
        target, headers = verified.route, verified.route.headers
        bucket = None
        if target.bucket is not None and target.operation != "CreateBucket":
            bucket = await self._gateway.catalogue.buckets.known(target.bucket)
            if bucket is None:
                raise S3Error("NoSuchBucket", fields={"BucketName": target.bucket})
        if not access.allows(verified.account, target.operation, bucket):
            raise S3Error("AccessDenied")
        expected = headers.get("x-amz-expected-bucket-owner")
        if expected is not None and bucket is not None and expected != bucket.owner:
            raise S3Error("AccessDenied", cause="x-amz-expected-bucket-owner names another account")
        return bucket
