"""May this account do this? Pure: values in, yes or no out.

Until ACLs and policies exist, a bucket belongs to one account and serves that account alone.
"""

from __future__ import annotations

from gateway.model import Account, Bucket

# What any account may do without owning a bucket.
_FOR_EVERY_ACCOUNT = frozenset({"ListBuckets", "CreateBucket"})


def allows(account: Account | None, operation: str, bucket: Bucket | None) -> bool:
    """Whether ``account`` (None: nobody signed) may run the AWS operation of that name on ``bucket``."""
    if account is None:
        return False
    if bucket is None:
        return operation in _FOR_EVERY_ACCOUNT
    return bucket.owner == account.id
