"""What a bucket and a key may be called.

Buckets: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (general purpose buckets).
Keys: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import re
from functools import lru_cache

from gateway.errors import S3Error

LONGEST_KEY = 1024  # bytes of UTF-8

# ``fullmatch`` and explicit ASCII classes: ``$`` would let a trailing newline pass, ``\d`` an Arabic digit.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@lru_cache(maxsize=4096)
def is_bucket_name(name: str) -> bool:
    """Whether S3 would let somebody create a general purpose bucket of this name."""
    return (
        _BUCKET.fullmatch(name) is not None
        and ".." not in name
        and _ADDRESS.fullmatch(name) is None
        and not name.startswith(_RESERVED_STARTS)
        and not name.endswith(_RESERVED_ENDS)
    )


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName (400)."""
    if not is_bucket_name(name):
        raise S3Error("InvalidBucketName", fields={"BucketName": name})


def check_key(key: bytes) -> None:
    """1 to 1,024 bytes of UTF-8 without NUL; everything else is legal and kept byte for byte.

    Raises KeyTooLongError, InvalidURI (not UTF-8, or empty) or InvalidArgument (NUL); all are 400.
    """
    if len(key) > LONGEST_KEY:
        raise S3Error("KeyTooLongError", fields={"Size": str(len(key)), "MaxSizeAllowed": str(LONGEST_KEY)})
    if not key:
        raise S3Error("InvalidURI", "An object key has at least one byte.")
    if b"\0" in key:
        raise S3Error("InvalidArgument", "An object key cannot hold a NUL.")
    try:
        key.decode("utf-8")  # strict: refuses overlong forms and surrogates, which would give one key two spellings
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
