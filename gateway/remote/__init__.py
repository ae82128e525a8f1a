"""What every cloud plugin needs: signed HTTP over treq, bodies that flow, small documents, metadata as headers."""

from __future__ import annotations

from gateway.remote.arrival import Arrivals, Sent, damaged
from gateway.remote.documents import read_json, read_xml
from gateway.remote.metadata import PAIRS as METADATA_PAIRS
from gateway.remote.metadata import SIZE as METADATA_SIZE
from gateway.remote.metadata import pack as pack_metadata
from gateway.remote.metadata import unpack as unpack_metadata
from gateway.remote.ranges import whole_size
from gateway.remote.replies import Judge, Refusal, Reply, judge, retry_after
from gateway.remote.s3_objects import S3Dialect, S3Objects
from gateway.remote.s3_refusals import judge_s3_grammar
from gateway.remote.service import GATHERED, Outgoing, Service, Sign, gathered
from gateway.remote.timing import Timing, timing_settings

__all__ = [
    "GATHERED",
    "METADATA_PAIRS",
    "METADATA_SIZE",
    "Arrivals",
    "S3Dialect",
    "Judge",
    "Outgoing",
    "Refusal",
    "Reply",
    "S3Objects",
    "Sent",
    "Service",
    "Sign",
    "Timing",
    "damaged",
    "gathered",
    "judge",
    "judge_s3_grammar",
    "pack_metadata",
    "read_json",
    "read_xml",
    "retry_after",
    "timing_settings",
    "unpack_metadata",
    "whole_size",
]
