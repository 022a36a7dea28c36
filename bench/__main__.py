"""Run every benchmark that needs no outside program, one after another.

Each is a program of its own with a `--smoke` size, so that none of them rots: the tests run that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = (
    "bench/micro/kernels.py",
    "bench/micro/wire.py",
    "bench/micro/tree.py",
    "bench/engine.py",
    "bench/run.py",
)


def main() -> int:
    """Run them all; return 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run at all")
    smoke = ["--smoke"] if parser.parse_args().smoke else []
    failed = []
    for program in PROGRAMS:
        print(f"\n== {program} {' '.join(smoke)}", flush=True)
        done = subprocess.run([sys.executable, program, *smoke], cwd=ROOT, check=False)
        if done.returncode != 0:
            failed.append(program)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
