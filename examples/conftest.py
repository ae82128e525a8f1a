"""The examples are tested from where they lie; tests/test_examples.py installs them as a stranger would."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
UNPACKED = HERE.parent / ".make" / "debian"  # what .ci/debian-packages only unpacks

sys.path[:0] = [str(setup.parent) for setup in HERE.glob("*/setup.cfg")]
if UNPACKED.is_dir():
    os.environ.setdefault("OPENSSH_ROOT", str(UNPACKED))
