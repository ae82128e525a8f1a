"""wrk as the client: one C process, quick enough to be no part of the result."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import processor
from benchmarks.servers import Missing, Server

SCRIPT = """
local requests, next = {}, 0
local method, size = "%(method)s", %(size)d
function init(args)
  -- only now is the Host header known
  local body = size > 0 and string.rep("x", size) or nil
  for target in io.lines("%(targets)s") do
    requests[#requests + 1] = wrk.format(method, target, nil, body)
  end
end
function request()
  next = next %% #requests + 1
  return requests[next]
end
function done(summary, latency)
  io.stderr:write(string.format(
    '{"requests": %%d, "microseconds": %%d, "bad": %%d, "p50": %%d, "p99": %%d, "p999": %%d}\\n',
    summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a stretch of load gave. Latencies are microseconds; ``cpu`` is the server's seconds for 10,000 requests."""

    rate: float
    p50: int
    p99: int
    p999: int
    cpu: float
    bad: int


def drive(
    server: Server,
    method: str,
    targets: Sequence[str],
    *,
    connections: int = 16,
    seconds: float = 4,
    size: int = 0,
) -> Load:
    """Send ``targets`` in turn over ``connections``. ``size``: bytes of each body.

    wrk's first request is sent apart from the script, so one more than the targets reaches the server.
    """
    program = shutil.which("wrk")
    if program is None:
        raise Missing("wrk is not installed (apt-get install wrk)")
    with tempfile.TemporaryDirectory() as folder:
        listed, script = Path(folder) / "targets", Path(folder) / "script.lua"
        listed.write_text("\n".join(targets) + "\n")
        script.write_text(SCRIPT % {"method": method, "size": size, "targets": listed})
        words = [program, "-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", str(script), server.endpoint]
        before = processor(server.pid)
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 60)
        used = processor(server.pid) - before
    if done.returncode or not done.stderr.strip():
        raise Missing(f"wrk failed: {done.stderr or done.stdout}")
    said = json.loads(done.stderr.strip().splitlines()[-1])
    count = max(said["requests"], 1)
    rate = count / said["microseconds"] * 1e6
    return Load(rate, said["p50"], said["p99"], said["p999"], used / count * 10_000, said["bad"])
