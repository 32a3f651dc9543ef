"""What operating a pipeline has to bear, tried on a real Airflow: kills at every stage, runs at once, an outage.

    python -m tests.operated kills [runner task supervisor dvc scheduler mlflow]    # all: about 40 minutes
    python -m tests.operated together [--rounds 20]
    python -m tests.operated outage [--turns 3]

Each prints what it did and what was wrong, and exits with 1 if anything was. Real processes, a toy model.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.operated_kills import STAGES, VARIANTS, kills
from tests.operated_outage import outage
from tests.operated_together import together


def main(arguments: list[str]) -> int:
    """Run the one that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.operated")
    which = parser.add_subparsers(dest="which", required=True)
    killing = which.add_parser("kills")
    killing.add_argument("variants", nargs="*", default=list(VARIANTS))
    killing.add_argument("--stages", default=",".join(STAGES))
    which.add_parser("together").add_argument("--rounds", type=int, default=20)
    which.add_parser("outage").add_argument("--turns", type=int, default=3)
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended then too
    with tempfile.TemporaryDirectory(prefix="luthier-operated-") as folder:
        if asked.which == "kills":
            good = kills(Path(folder), asked.variants, asked.stages.split(","))
        elif asked.which == "together":
            good = together(Path(folder), asked.rounds)
        else:
            good = outage(Path(folder), asked.turns)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
