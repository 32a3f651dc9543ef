"""The gate: may this model become the champion? One pure decision, with every reason and number.

"promote": every check holds. "reject": at least one is known to fail. "insufficient evidence": none fails, but
something is missing, stale, not comparable, not finite, or too small to tell. Nothing is promoted for want of a reason
against it.
"""

from collections.abc import Mapping

from tasks.metrics.challenge import beats_champion, no_worse_than_champion
from tasks.metrics.evidence import Check, Decision, Evidence, Gate, Row
from tasks.metrics.margins import bounded, forgotten, reached
from tasks.metrics.significance import finite_row, judged, scoring_of


def decide(challenger: Evidence, champion: Evidence | None, gate: Gate) -> Decision:
    """Judge a challenger against its own base and, where there is one, against the champion."""
    checks = [
        *_integrity(challenger),
        *_data(challenger),
        *_beats_base(challenger, gate),
        *_floors(challenger.metrics, gate.floors),
        *_keeps_general_ability(challenger, gate),
        *_guards(challenger.metrics, gate.guards),
    ]
    if champion is not None:
        checks += [beats_champion(challenger, champion, gate), *no_worse_than_champion(challenger, champion, gate)]
    return Decision.of(checks)


def _integrity(model: Evidence) -> list[Check]:
    """The evidence is of this very model: its weights, its contract, its data."""
    fresh = [Check(None, f"Some evidence is not of this version: {clause}.") for clause in model.stale]
    return [
        _equal("set of weights", model.weights, model.evaluated),
        _equal("prompt contract", model.contract, model.evaluated_contract),
        *(fresh or [Check(True, "All evidence is of this version.")]),
        Check(True, "It was never rolled back.")
        if model.rolled_back is None
        else Check(False, f"It was rolled back once: {model.rolled_back}"),
    ]


def _equal(what: str, delivered: str | None, evaluated: str | None) -> Check:
    if delivered is None or evaluated is None:
        missing = "is delivered" if delivered is None else "was evaluated"
        return Check(None, f"It is not known with which {what} it {missing}: predict, evaluate and register again.")
    if delivered == evaluated:
        return Check(True, f"It is delivered with the {what} that it was evaluated with ({evaluated[:12]}).")
    said = f"It is delivered with another {what} ({delivered[:12]}) than it was evaluated with ({evaluated[:12]})."
    return Check(False, said)


def _data(model: Evidence) -> list[Check]:
    if model.critical is None:
        valid = Check(None, "There is no validation report: run validate again.")
    else:
        broken = f"The data break critical rules: {'; '.join(model.critical)}."
        valid = Check(not model.critical, broken if model.critical else "The data break no critical rule.")
    if model.leaks_clean is None:
        return [valid, Check(None, "There is no leak certificate: run expand again.")]
    found = "is clean" if model.leaks_clean else "names leaks"
    return [valid, Check(model.leaks_clean, f"The leak certificate {found}.")]


def _beats_base(model: Evidence, gate: Gate) -> list[Check]:
    row = finite_row(model.metrics, gate.primary)
    if row is None:
        return [_unknown(gate.primary)]
    told = f"{gate.primary}: base {row['base']:.2f}, tuned {row['tuned']:.2f}"
    return [enough(row["n"], gate), judged(told, row, scoring_of(gate.primary))]


def decide_outputs(metrics: Mapping[str, Mapping[str, Row]], gate: Gate) -> Decision:
    """Judge two columns of outputs that were made elsewhere: by size, gain, floors and the guards that outputs show.

    It says nothing of weights, data and leaks, and nothing of guards on other sections than those of `metrics`.
    """
    row = finite_row(metrics, gate.primary)
    if row is None:
        return Decision.of([_unknown(gate.primary)])
    told = f"{gate.primary}: {row['base']:.2f} to {row['tuned']:.2f}"
    own = {name: allowed for name, allowed in gate.guards.items() if name.partition(".")[0] in metrics}
    floors = {name: floor for name, floor in gate.floors.items() if name.partition(".")[0] in metrics}
    checks = [enough(row["n"], gate), judged(told, row, scoring_of(gate.primary))]
    return Decision.of([*checks, *_floors(metrics, floors), *_guards(metrics, own)])


def enough(n: int, gate: Gate) -> Check:
    """Whether the metric that decides rests on as many examples as are asked for."""
    said = f"{gate.primary} rests on {n} examples; {gate.min_examples} are asked for."
    return Check(True if n >= gate.min_examples else None, said)


def _floors(metrics: Mapping[str, Mapping[str, Row]], floors: Mapping[str, float]) -> list[Check]:
    rows = {name: finite_row(metrics, name) for name in floors}
    return [reached(name, row, floors[name]) if row else _unknown(name) for name, row in rows.items()]


def _guards(metrics: Mapping[str, Mapping[str, Row]], guards: Mapping[str, float]) -> list[Check]:
    """What no gain of the primary metric makes up for: invented facts, empty outputs, bias, toxic outputs."""
    rows = {name: finite_row(metrics, name) for name in guards}
    return [bounded(name, row, guards[name]) if row else _unknown(name) for name, row in rows.items()]


def _keeps_general_ability(model: Evidence, gate: Gate) -> list[Check]:
    if gate.may_forget is None:
        return []
    if not model.forgetting:
        return [Check(None, "No general suite was asked, so it is not known what was forgotten: see predict.suites.")]
    return [forgotten(row, gate.may_forget) for row in model.forgetting]


def _unknown(name: str) -> Check:
    return Check(None, f"There is no finite {name} of base and tuned among the metrics.")
