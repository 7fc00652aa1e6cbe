"""Which figures has this machine? `python -m bench` runs the benches one after the other and prints their tables."""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHES: dict[str, list[str]] = {
    "throughput": [],
    "freshness": [],
    "alerted": [],
    "rollup": [],
    "sdk": [],
    "memory": ["--events", "1000000"],
    "kills": ["--events", "500000", "--kills", "12"],
    "bridge_load": ["--seconds", "5"],
    "first_view": [],
    "open_page": ["--updates", "1200"],
}
LONG: dict[str, list[str]] = {
    "throughput": [],
    "freshness": [],
    "alerted": [],
    "rollup": [],
    "sdk": [],
    "memory": [],
    "kills": [],
    "bridge_load": [],
    "first_view": [],
    "open_page": [],
    "calibration": [],
}


def main() -> int:
    """Each in a process of its own, so that none warms up the next; not 0 if one missed its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benches", nargs="*", help=f"these only, of {', '.join(LONG)}")
    parser.add_argument("--long", action="store_true", help="with the full numbers of events")
    options = parser.parse_args()
    chosen = LONG if options.long else BENCHES
    if unknown := set(options.benches) - chosen.keys():
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(chosen)}")
    missed = []
    for name, arguments in chosen.items():
        if options.benches and name not in options.benches:
            continue
        if subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments], check=False).returncode:
            missed.append(name)
    if missed:
        print(f"missed its bound: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
