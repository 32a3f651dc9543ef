"""`evaluate.Metric`, the interface that ROUGE and BLEU are offered through, imported without torch.

`evaluate` imports transformers' pipelines (and so torch) for its evaluators, which nobody here uses: 10 of
the 16 seconds that its import took when measured. It treats a missing transformers as normal, so it is
hidden meanwhile.
"""

import sys

_LOADED = "transformers" in sys.modules
if not _LOADED:
    sys.modules["transformers"] = None  # type: ignore[assignment]  # Python's own sign for "not importable"
try:
    from evaluate import Metric, MetricInfo
finally:
    if not _LOADED:
        del sys.modules["transformers"]

import datasets  # noqa: E402  # evaluate has just imported it, also without transformers

__all__ = ["PAIR_OF_STRINGS", "Metric", "MetricInfo"]

PAIR_OF_STRINGS = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
