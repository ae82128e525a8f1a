"""``python -m gateway.workers CONFIG NUMBER DESCRIPTOR``: a worker, started by the supervisor and by nobody else."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to look at again
    from gateway.workers.worker import work

    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
