#!/usr/bin/env python3
"""Start-up of dlib_evaluate: seconds for --help beside a bare interpreter. Prints one JSON line; to
stay under a second.

python benchmarks/evaluate_help.py
"""

import json
import pathlib
import subprocess
import sys
import time

REPEATS = 5
COMMAND = pathlib.Path(__file__).parent.parent / "bin" / "dlib_evaluate"


def best_seconds(*arguments: str) -> float:
    """Smallest wall time of a few runs: the others measure what else the machine did."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    help_seconds, bare_seconds = best_seconds(str(COMMAND), "--help"), best_seconds("-c", "pass")
    result = {
        "benchmark": "evaluate_help",
        "seconds": help_seconds,
        "bare_python_seconds": bare_seconds,
        "ratio": help_seconds / bare_seconds,
    }
    print(
        json.dumps(
            {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in result.items()
            }
        )
    )
