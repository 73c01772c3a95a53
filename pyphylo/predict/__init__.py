"""Benchmark scores predicted from genetic distance, and how good such predictions are.

Every name is imported when it is first used (PEP 562): scikit-learn is loaded
with the first estimator that is touched.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphylo.io.scores import read_scores as read_scores
    from pyphylo.predict.benchmark import BenchmarkRegressor as BenchmarkRegressor
    from pyphylo.predict.evaluate import cross_validate_scores as cross_validate_scores
    from pyphylo.predict.groups import clade_groups as clade_groups
    from pyphylo.predict.groups import near_duplicates as near_duplicates
    from pyphylo.predict.matching import match_scores as match_scores
    from pyphylo.predict.measuring import measure_next as measure_next
    from pyphylo.predict.metrics import score_metrics as score_metrics
    from pyphylo.predict.missing import predict_missing_scores as predict_missing_scores
    from pyphylo.predict.quantised import quantised_pairs as quantised_pairs
    from pyphylo.predict.reference import ReferenceRegressor as ReferenceRegressor

_LAZY = {
    "BenchmarkRegressor": "pyphylo.predict.benchmark",
    "ReferenceRegressor": "pyphylo.predict.reference",
    "clade_groups": "pyphylo.predict.groups",
    "cross_validate_scores": "pyphylo.predict.evaluate",
    "match_scores": "pyphylo.predict.matching",
    "measure_next": "pyphylo.predict.measuring",
    "near_duplicates": "pyphylo.predict.groups",
    "predict_missing_scores": "pyphylo.predict.missing",
    "quantised_pairs": "pyphylo.predict.quantised",
    "read_scores": "pyphylo.io.scores",
    "score_metrics": "pyphylo.predict.metrics",
}

__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pyphylo.predict' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
