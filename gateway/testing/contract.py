"""The conformance kit: inherit BackendContract, write the fixture ``backend``, and every promise is a test.

``backend`` returns a backend that is built and not opened; the kit opens and closes it. Its storage is empty or
shared with others: the kit's names begin with ``kit`` and it deletes what it wrote. Two more fixtures may be needed:
``reopen`` (a callable that builds another backend on the same storage; for ``shared`` and for restarts) and
``secrets`` (those that the backend was built with). ``patience`` bounds the seconds of one test. A fixture
``wrappers`` (a list) puts wrappers around the backend: behind them every promise must be kept as well.

Most promises are tried twice: on the backend's own hooks ("bare"), and through the gateway's Location ("location"),
which adds multipart uploads where the backend has none.
"""

from __future__ import annotations

from gateway.testing.promises_blobs import BlobPromises
from gateway.testing.promises_bodies import BodyPromises
from gateway.testing.promises_conditions import ConditionPromises
from gateway.testing.promises_keeping import KeepingPromises
from gateway.testing.promises_names import NamePromises
from gateway.testing.promises_uploads import UploadPromises

KIT_VERSION = 2  # grows when a promise is added or sharpened


class BackendContract(BlobPromises, BodyPromises, ConditionPromises, NamePromises, UploadPromises, KeepingPromises):
    """Every promise of a backend."""
