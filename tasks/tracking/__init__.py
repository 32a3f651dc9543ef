"""MLflow: the only folder that imports it.

`server` is where it is; `runs` what a training writes, through `points`, `spool` and `system`. `evidence`,
`models` and `registry` belong to register and promote; they are imported by name, because a change in them must
not make a training stale.
"""

from tasks.tracking.runs import Run, start_run
from tasks.tracking.server import check, uri

__all__ = ["Run", "check", "start_run", "uri"]
