"""`python -m tests.acceptance --minutes N`: the run on this machine, its criteria as a table; exit 1 if one fails."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.acceptance.run import run
from tests.acceptance.system import compressed, full
from tests.pictures.drawing import missing


def main() -> int:
    """Run and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="0: the time-compressed form of CI")
    parser.add_argument("--policy", default="sensible", choices=["sensible", "inverted"])
    parser.add_argument("--keep", type=Path, help="keep states, logs and transcripts in this folder")
    parser.add_argument("--pictures", type=Path, help="ask the boards over the last 15 minutes and draw them there")
    options = parser.parse_args()
    lacking = missing() if options.pictures else []
    if lacking:
        parser.error("; ".join(lacking))
    pace = full(options.minutes) if options.minutes else compressed()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        results = run(options.keep, pace, options.policy, pictures=options.pictures)
    else:
        with tempfile.TemporaryDirectory(prefix="reasond-acceptance-") as folder:
            results = run(Path(folder), pace, options.policy, pictures=options.pictures)
    for result in results:
        print("{}  {:<45} {}".format("ok  " if result.holds else "FAIL", result.name, result.figures))
    failed = sum(not result.holds for result in results)
    print("{} passed, {} failed".format(len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
