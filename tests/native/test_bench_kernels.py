"""The benchmark of the kernels runs, tiny."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench/micro/kernels.py"


def test_runs_tiny() -> None:
    run = subprocess.run(
        [sys.executable, str(BENCH), "--smoke"], capture_output=True, text=True, check=True
    )
    for name in ("MD5, 8 streams", "BLAKE3, 65536 B", "cuts and ids", "CRC64NVME", "index, get"):
        assert name in run.stdout
