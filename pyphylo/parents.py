"""Parents of models: proposed from distances, and declared ones put to the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo._memory import require_memory
from pyphylo._names import check_names, did_you_mean
from pyphylo._parents_bootstrap import contradicted_parents
from pyphylo._parents_features import Kin, Models
from pyphylo._parents_rule import LeaveOut, Proposal, learn, leave_out, pairs_of
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.io.metadata import Lineage, read_lineage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["contradicted_parents", "evaluate_parents", "propose_parents"]

_PRECISION = {True: 0.9, False: 0.75}
"""Wanted by default, with and without candidates."""


def propose_parents(
    D: DistanceMatrix,
    metadata: Any,
    candidates: Iterable[str] | None = None,
    *,
    models: Iterable[str] | None = None,
    precision: float | None = None,
    evaluate: bool = True,
) -> pd.DataFrame:
    """The likely parent of each model that declares none, or no answer.

    Parameters
    ----------
    D : DistanceMatrix
    metadata : path, DataFrame, mapping or Lineage
        As `pyphylo.io.metadata.read_lineage` takes it: ``base_model`` where it is
        known, and optionally ``params_b`` and ``date`` (a parent is not younger than its child).
        A declared parent that is not in the matrix says just that.
    candidates : iterable of str, optional
        Models that may be parents: plausible bases. By default all may.
    models : iterable of str, optional
        Whose parents to propose. By default those that declare none. A model
        that declares one is treated as if it did not.
    precision : float, optional
        Share of the answers that shall be right: 0.9 by default with
        candidates, 0.75 without, where siblings and parents are hard to tell apart.
    evaluate : bool
        Find out by nested leave-out how often the answers are right (as
        `evaluate_parents`, `by` models); it takes most of the time.

    Returns
    -------
    DataFrame
        A row a model, in the matrix's order: model, parent (None: abstains),
        confidence. The confidence is the probability that the likeliest parent
        is the true one, given that the true one is among the candidates, also where it
        is too low for an answer. Proposals and declarations together have no cycle.
        ``attrs``: "rule" (in words), "pairs", "threshold", "precision", "likeliest" (a
        list: of each row the candidate that its confidence is of, proposed or not; None
        without candidates), and "leave_out" as `evaluate_parents` returns it (None without
        pairs enough).

    Raises
    ------
    InputError
        No distance matrix, an unknown candidate or model, a cycle in the
        metadata, a precision that is not between 0 and 1.

    Notes
    -----
    A conditional logit (McFadden 1974) chooses among the 64 nearest candidates. It weighs
    the distance beyond the nearest; how much nearer than the child a candidate is to
    all others, as an ancestor is; whether it resembles known bases more than known children;
    and the ratio of sizes. Names and families play no part. Weights are learned
    from the declared pairs, each seen with its own declaration hidden; confidences are
    calibrated on pairs left out (Platt 1999), and the threshold is the lowest with which
    the answers to those are on average as sure as `precision`. With fewer than ten
    declared pairs among the candidates the weights are constants, half of what simulated
    histories give, and the threshold is `precision` itself.

    O(n^2 + models x (64 n)) time, and learning.

    Examples
    --------
    >>> D = DistanceMatrix([0.1, 0.3, 0.5, 0.25, 0.6, 0.8], ["base", "tuned", "other", "far"])
    >>> found = propose_parents(D, {"tuned": {"base_model": "base"}}, candidates=["base"])
    >>> found[["model", "parent"]].values.tolist()
    [['base', None], ['other', 'base'], ['far', 'base']]
    """
    import pandas as pd

    asked = _Question.of(D, metadata, candidates, models, precision)
    rule = learn(asked.models, asked.hidden, asked.precision)
    kin = Kin(asked.models, asked.hidden)
    found = {i: rule.propose(kin.alternatives(i)) for i in asked.numbers}
    parents = _without_cycles(found, kin, rule.threshold)
    frame: pd.DataFrame = pd.DataFrame(
        {
            "model": pd.Series([D.ids[i] for i in asked.numbers], dtype=object),
            "parent": pd.Series(
                [D.ids[parents[i]] if i in parents else None for i in asked.numbers], dtype=object
            ),
            "confidence": pd.Series([found[i].confidence for i in asked.numbers], dtype=float),
        }
    )
    learned = rule.n_pairs > 0
    frame.attrs = {
        "rule": f"learned from {rule.n_pairs} declared pairs; threshold by leaving them out"
        if learned
        else "default: too few declared pairs among the candidates to learn from",
        "pairs": rule.n_pairs,
        "threshold": rule.threshold,
        "precision": asked.precision,
        "likeliest": [
            D.ids[found[i].parent] if found[i].parent >= 0 else None for i in asked.numbers
        ],
        "leave_out": _summary(leave_out(asked.models, asked.hidden, asked.precision, "model"))
        if learned and evaluate
        else None,
    }
    return frame


def evaluate_parents(
    D: DistanceMatrix,
    metadata: Any,
    candidates: Iterable[str] | None = None,
    *,
    by: str = "model",
    precision: float | None = None,
) -> dict[str, Any]:
    """How often `propose_parents` is right, on the declared pairs, by nested leave-out.

    Each pair's declaration is hidden, the rule with its threshold is learned from
    the others (inside, by leaving out once more), and the hidden parent is asked for.

    Parameters
    ----------
    D, metadata, candidates, precision
        As in `propose_parents`.
    by : {"model", "parent"}
        What is hidden together: one model's declaration, or those of all children of
        its parent, which is then not known to be a base.

    Returns
    -------
    dict
        pairs; answered; right (of those answered); coverage = answered / pairs;
        precision = right / answered (NaN where none is); precision_lower, its one-sided 90%
        confidence bound (Clopper & Pearson 1934); brier, the mean squared error of
        the confidences of all; mean_confidence and mean_right of all; nearest, the share
        of pairs whose nearest candidate is the parent.

    Raises
    ------
    InputError
        As `propose_parents`; fewer than two declared pairs among the candidates.

    Notes
    -----
    Up to 60 pairs (or parents) are left out one by one, more in ten folds; of more than
    200 pairs, 200 are used.
    """
    if by not in ("model", "parent"):
        raise InputError(f"by must be 'model' or 'parent', not {by!r}")
    asked = _Question.of(D, metadata, candidates, None, precision)
    outcome = leave_out(asked.models, asked.hidden, asked.precision, by)
    if len(outcome.right) < 2:
        raise InputError(
            f"{len(outcome.right)} declared pairs are in the matrix, the parent a candidate; "
            "leaving out needs two: add to base_model"
        )
    return {**_summary(outcome), "nearest": _nearest_right(asked)}


class _Question:
    """What was asked, checked, names turned into numbers."""

    def __init__(self, models: Models, numbers: list[int], hidden: list[int], precision: float):
        self.models = models
        self.numbers = numbers
        self.hidden = hidden
        self.precision = precision

    @classmethod
    def of(
        cls,
        D: Any,
        metadata: Any,
        candidates: Iterable[str] | None,
        models: Iterable[str] | None,
        precision: float | None,
    ) -> _Question:
        if not isinstance(D, DistanceMatrix):
            raise InputError(
                f"parents are proposed from a DistanceMatrix, not {type(D).__name__}; "
                "nei_distance makes one of a table or of similarities"
            )
        lineage: Lineage = read_lineage(metadata, D.ids)
        known = _members(D, candidates, "candidate")
        wanted = _members(D, models, "model")
        if precision is None:
            precision = _PRECISION[known is not None]
        if isinstance(precision, bool) or not 0 < precision < 1:
            raise InputError(f"precision must be between 0 and 1, not {precision!r}")
        require_memory(8 * len(D) ** 2, f"distances of {len(D)} models")
        numbered = Models.of(np.asarray(D, dtype=np.float64), D.ids, lineage, known)
        if wanted is None:
            numbers = [i for i, name in enumerate(D.ids) if name not in lineage.parents]
            return cls(numbered, numbers, [], float(precision))
        chosen = set(wanted)
        numbers = [i for i, name in enumerate(D.ids) if name in chosen]
        return cls(numbered, numbers, numbers, float(precision))


def _members(D: DistanceMatrix, names: Iterable[str] | None, what: str) -> tuple[str, ...] | None:
    """The names, each once, refused where the matrix has them not."""
    if names is None:
        return None
    checked = check_names(names, what)
    missing = [name for name in checked if name not in set(D.ids)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        hint = did_you_mean(missing[0], D.ids)
        raise InputError(f"{what} {missing[0]!r}{more} is not in the matrix; leave it out{hint}")
    if not checked and what == "candidate":
        raise InputError("there is no candidate: name at least one, or leave candidates away")
    return checked


def _without_cycles(found: dict[int, Proposal], kin: Kin, threshold: float) -> dict[int, int]:
    """Answers, surest first, leaving out those that would make a model its own ancestor."""
    above = {int(q): int(kin.parent[q]) for q in kin.children}
    answers: dict[int, int] = {}
    for i in sorted(found, key=lambda i: (-found[i].confidence, i)):
        proposal = found[i]
        if proposal.parent < 0 or proposal.confidence < threshold:
            continue
        at: int | None = proposal.parent
        while at is not None and at != i:
            at = above.get(at)
        if at is None:
            above[i] = answers[i] = proposal.parent
    return answers


def _summary(outcome: LeaveOut) -> dict[str, Any]:
    from scipy.stats import beta

    n = len(outcome.right)
    answered = sum(outcome.answered)
    right = sum(r and a for r, a in zip(outcome.right, outcome.answered, strict=True))
    truth, said = np.array(outcome.right, float), np.array(outcome.confidence)
    return {
        "pairs": n,
        "answered": answered,
        "right": right,
        "coverage": answered / n,
        "precision": right / answered if answered else float("nan"),
        "precision_lower": float(beta.ppf(0.1, right, answered - right + 1)) if right else 0.0,
        "brier": float(np.mean((said - truth) ** 2)),
        "mean_confidence": float(said.mean()),
        "mean_right": float(truth.mean()),
    }


def _nearest_right(asked: _Question) -> float:
    """Of the same pairs, how often the nearest candidate is the parent."""
    hits = []
    for q in pairs_of(asked.models, asked.hidden):
        row = np.where(asked.models.candidate, asked.models.distances[q], np.inf)
        row[q] = np.inf
        hits.append(int(np.nanargmin(row)) == int(asked.models.parent[q]))
    return float(np.mean(hits))
