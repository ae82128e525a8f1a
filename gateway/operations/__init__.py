"""What S3 means: one file per family of operations. This file is the registry that the gate reads."""

from __future__ import annotations

from gateway.operations import (
    attributes,
    buckets,
    copy,
    copy_part,
    delete,
    get,
    list_objects,
    multipart,
    post,
    put,
    unset_settings,
    upload_lists,
)
from gateway.operations.gateway import Gateway, Operation

# AWS's name of an operation -> what runs it. What is not here is answered 501 before the body is read.
OPERATIONS: dict[str, Operation] = {
    **buckets.OPERATIONS,
    **put.OPERATIONS,
    **post.OPERATIONS,
    **get.OPERATIONS,
    **copy.OPERATIONS,
    **delete.OPERATIONS,
    **list_objects.OPERATIONS,
    **multipart.OPERATIONS,
    **copy_part.OPERATIONS,
    **upload_lists.OPERATIONS,
    **attributes.OPERATIONS,
    **unset_settings.OPERATIONS,
}

__all__ = ["OPERATIONS", "Gateway", "Operation"]
