"""The gate: may this model become the champion? One pure decision, with every reason and number.

"promote": every check holds. "reject": at least one is known to fail. "insufficient evidence": none fails,
but something is missing, not comparable, or too small to tell.
"""

from tasks.metrics.challenge import beats_champion
from tasks.metrics.evidence import Check, Decision, Evidence, Gate, Row
from tasks.metrics.significance import judged, number, scoring_of


def decide(challenger: Evidence, champion: Evidence | None, gate: Gate) -> Decision:
    """Judge a challenger against its own base and, where there is one, against the champion."""
    checks = [
        _same_weights(challenger),
        _clean(challenger),
        _not_rolled_back(challenger),
        *_beats_base(challenger, gate),
        *_suites(challenger, gate),
        *_guards(challenger, gate),
    ]
    if champion is not None:
        checks.append(beats_champion(challenger, champion, gate))
    holds = [check.holds for check in checks]
    if all(holds):
        return Decision("promote", tuple(checks))
    return Decision("reject" if False in holds else "insufficient evidence", tuple(checks))


def _same_weights(model: Evidence) -> Check:
    if model.evaluated is None:
        return Check(None, "It is not recorded which weights made the predictions: run predict again.")
    told = "are" if model.evaluated == model.weights else f"({model.weights[:12]}) are not"
    said = f"The registered weights {told} the evaluated ones ({model.evaluated[:12]})."
    return Check(model.evaluated == model.weights, said)


def _clean(model: Evidence) -> Check:
    if model.leaks_clean is None:
        return Check(None, "There is no leak certificate: run expand again.")
    found = "is clean" if model.leaks_clean else "names leaks"
    return Check(model.leaks_clean, f"The leak certificate {found}.")


def _not_rolled_back(model: Evidence) -> Check:
    if model.rolled_back is None:
        return Check(True, "It was never rolled back.")
    return Check(False, f"It was rolled back once: {model.rolled_back}")


def _row(model: Evidence, primary: str) -> Row | None:
    section, _, key = primary.partition(".")
    row = model.metrics.get(section, {}).get(key)
    wanted = ("base", "tuned", "difference", "difference_low", "difference_high", "n")
    return row if row is not None and all(number(row.get(name)) for name in wanted) else None


def _beats_base(model: Evidence, gate: Gate) -> list[Check]:
    row = _row(model, gate.primary)
    if row is None:
        return [Check(None, f"There is no finite {gate.primary} of base and tuned among the metrics.")]
    enough = True if row["n"] >= gate.min_examples else None
    size = Check(enough, f"{gate.primary} rests on {row['n']} examples; {gate.min_examples} are asked for.")
    told = f"{gate.primary}: base {row['base']:.2f}, tuned {row['tuned']:.2f}"
    return [size, judged(told, row, scoring_of(gate.primary))]


def _suites(model: Evidence, gate: Gate) -> list[Check]:
    checks = []
    for suite in sorted(name for name, rows in model.metrics.items() if "accuracy" in rows):
        row = _row(model, f"{suite}.accuracy")
        if row is None:
            checks.append(Check(None, f"{suite} has no finite accuracy."))
            continue
        interval = f"[{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"
        told = f"{suite}: accuracy {row['base']:.2f} to {row['tuned']:.2f} {interval}, n = {row['n']}"
        refused = f"a loss that is surely over {gate.max_suite_drop:g} is refused"
        checks.append(Check(row["difference_high"] >= -gate.max_suite_drop, f"{told}; {refused}."))
    return checks


def _guards(model: Evidence, gate: Gate) -> list[Check]:
    """What no gain of the primary metric makes up for: invented facts, empty outputs, toxic ones."""
    checks = []
    for name, allowed in gate.guards.items():
        row = _row(model, name)
        if row is None:
            checks.append(Check(None, f"There is no finite {name} of base and tuned among the metrics."))
            continue
        better = scoring_of(name).better
        least = row["difference_low"] if better == "lower" else -row["difference_high"]
        interval = f"[{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"
        told = f"{name}: {row['base']:.2f} to {row['tuned']:.2f} {interval}, n = {row['n']}"
        checks.append(Check(least <= allowed, f"{told}; surely worse by over {allowed:g} is refused."))
    return checks
