"""Seconds to open a prepared dataset in a fresh process.

    python benchmarks/open_table.py --dataset=rendered_sprites/full

Prints one JSON line; `resident_growth_bytes` is what opening adds to the process's memory (the
table itself stays in the page cache, where every process shares it).
"""

import argparse
import json
import os
import subprocess
import sys
import time

_CHILD = """
import json, sys, time
begin = time.perf_counter()
from dlib_tf2.datasets import load
def resident():
    status = open("/proc/self/status")
    return 1024 * int(next(line for line in status if line.startswith("VmRSS")).split()[1])
imported, before = time.perf_counter(), resident()
dataset = load(sys.argv[1], sys.argv[2] or None)
opened, after = time.perf_counter(), resident()
dataset.images([dataset.space.size // 2])
seconds = {
    "import_seconds": imported - begin,
    "open_seconds": opened - imported,
    "first_image_seconds": time.perf_counter() - opened,
}
sizes = {"table_bytes": dataset.table.nbytes, "resident_growth_bytes": after - before}
print(json.dumps({**seconds, **sizes}))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="rendered_sprites/full")
    parser.add_argument("--data_dir", default="")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, arguments.dataset, arguments.data_dir],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        sys.exit(child.stderr.strip().splitlines()[-1])
    measured = json.loads(child.stdout.splitlines()[-1])
    whole = {"whole_process_seconds": time.perf_counter() - begin}
    print(
        json.dumps({"benchmark": "open_table", "dataset": arguments.dataset, **measured, **whole})
    )


if __name__ == "__main__":
    main()
