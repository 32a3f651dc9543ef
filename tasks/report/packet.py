"""What a person reads before they approve a version, in Airflow's page: two minutes, and the means to look further.

The verdict and what it rests on, the scores with their intervals, the answers that got worst, harm and bias, and what
exactly would be approved. No clock and no random number: the same evidence gives the same text, whose sha256 is what
is approved. Records and outputs stand in it as code alone, so that none of them can forge the page.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.metrics.compare import compare
from tasks.metrics.evidence import Check, Decision, Evidence
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts
from tasks.report.comparisons import Compared, harmful, headline, ordered, scores, urgent
from tasks.report.markdown import bullets, code, number, plain, shortened, spread, table
from tasks.report.regressions import MOST, Lost, Regression, regressions

Row = Mapping[str, Any]
BASE = "base model"  # whose answers these are where there is no champion
MOST_BYTES = 60_000  # of the whole page
MOST_ROWS, MOST_CHECKS, CHECK_BYTES = 24, 40, 400
INPUT_BYTES, TEXT_BYTES = 420, 300  # shown of an input, and of a target or output
SAID = {True: "holds", False: "**fails**", None: "**cannot tell**"}
PAGE = re.compile(r"https?://[\w.:-]+[^\s<>()\[\]]*")


def packet(
    challenger: Evidence, opponent: Sequence[Row], whose: str, decision: Decision, links: Mapping[str, str],
    private: bool,
) -> str:  # fmt: skip
    """The page as Markdown, under 60,000 bytes.

    Args:
        challenger: what is known of the version.
        opponent: rows of generations.jsonl of the champion, or of the base model where there is none.
        whose: "base model", or what the champion is called.
        decision: of the gate.
        links: version, identity, evidence_sha256, page (MLflow's) and report (an artifact's path), as far as known.
        private: no value of the data is shown, only ids and scores.
    """
    primary = str(challenger.card.get("primary", ""))
    rival = _against(challenger, opponent, primary) if whose != BASE else []
    lost = regressions(opponent, challenger.generations, primary, challenger.metrics)
    above = [
        *_headline(challenger, decision),
        *_beside(rival, primary, whose),
        *_checks(decision.checks),
        *_scores(challenger, rival, whose, primary),
    ]
    below = [*_harm(challenger), *_origin(challenger, links)]
    room = MOST_BYTES - sum(len(line.encode()) + 1 for line in [*above, *below])
    return "\n".join([*above, *_regressions(lost, whose, private, room), *below]).rstrip() + "\n"


def _headline(model: Evidence, decision: Decision) -> list[str]:
    counts = {holds: sum(check.holds is holds for check in decision.checks) for holds in (True, False, None)}
    told = [f"{counts[True]} of {len(decision.checks)} checks hold"]
    told += [f"{counts[False]} {'fails' if counts[False] == 1 else 'fail'}"] if counts[False] else []
    told += [f"{counts[None]} cannot be told"] if counts[None] else []
    lines = [f"# Version {model.version}: the gate says {decision.verdict}", "", f"{', '.join(told)}.", ""]
    sentence = headline(model.metrics, model.card)
    return [*lines, f"**{plain(sentence)}**" if sentence else "It is unknown whether tuning helped.", ""]


def _checks(checks: Sequence[Check]) -> list[str]:
    order = {False: 0, None: 1, True: 2}
    told = sorted(checks, key=lambda check: order[check.holds])
    rows = [[SAID[check.holds], plain(shortened(check.sentence, CHECK_BYTES))] for check in told[:MOST_CHECKS]]
    rest = told[MOST_CHECKS:]
    refused = sum(not check.holds for check in rest)
    more = [f"{len(rest)} more checks are not shown; {refused} of them do not hold.", ""] if rest else []
    return ["## What the gate looked at", "", *table(["verdict", "check"], rows), *more]


def _beside(rival: Sequence[Compared], primary: str, whose: str) -> list[str]:
    """The primary metric against the champion, in a sentence."""
    for section, key, row in rival:
        if f"{section}.{key}" == primary:
            told = (
                f"{primary} {number(row['base'])} to {number(row['tuned'])}, difference {spread(row)}, n = {row['n']}"
            )
            said = plain(f"Against the {whose}: {told}: {row['verdict']}.")
            return [f"**{said}**", ""]
    return []


def _scores(model: Evidence, rival: Sequence[Compared], whose: str, primary: str) -> list[str]:
    lines = ["## Scores: base model and this version", ""]
    lines += _shown(urgent(ordered(model.metrics, primary), primary), model.card, None)
    if whose == BASE:
        return lines
    lines += [f"## Scores: {plain(whose)} and this version", ""]
    if not rival:
        return [*lines, f"The {plain(whose)} did not answer the same examples, so the two cannot be compared.", ""]
    lines += ["Answers to the same examples, pair by pair; verdicts are not adjusted for their number.", ""]
    return lines + _shown(urgent(rival, primary), model.card, ["champion", "this version"])


def _shown(rows: Sequence[Compared], card: Row, names: Sequence[str] | None) -> list[str]:
    more = len(rows) - MOST_ROWS
    rest = [f"{more} more comparisons are in the report.", ""] if more > 0 else []
    return [*scores(rows[:MOST_ROWS], card, names), *rest]


def _against(model: Evidence, opponent: Sequence[Row], primary: str) -> list[Compared]:
    """The judged metrics of each family whose examples both answered, pair by pair; verdicts each by itself."""
    rows: dict[str, dict[str, Row]] = {}
    for family in dict.fromkeys(str(row["family"]) for row in model.generations):
        sides = [[row for row in answers if row["family"] == family] for answers in (opponent, model.generations)]
        ours, theirs = ({row["id"]: row for row in side} for side in reversed(sides))
        if ours.keys() != theirs.keys() or any(ours[name]["target"] != theirs[name]["target"] for name in ours):
            continue
        names = sorted(ours)
        for key in model.metrics.get(family, {}):
            if key in MEASURES and MEASURES[key].judged:
                measure = MEASURES[key]
                both = [measure.statistics(Texts.of([side[name] for name in names]))[key] for side in (theirs, ours)]
                groups = [str(ours[name]["group"]) for name in names]
                found = compare(both[0], both[1], groups, measure.scoring, model.resampling)
                rows.setdefault(family, {})[key] = found
    return ordered(rows, primary)


def _regressions(lost: Lost | None, whose: str, private: bool, room: int) -> list[str]:
    """The worst answers, as many as there is room for (bytes)."""
    if lost is None:
        return [f"## Worst answers, against the {plain(whose)}", "", "No example was answered by both.", ""]
    label = MEASURES[lost.key].label
    lines = [
        f"## Worst answers, against the {plain(whose)}", "",
        f"By {label} of each answer on {plain(lost.family)}, {lost.worse:,} of {lost.compared:,} examples are worse. "
        + (f"The worst {min(MOST, len(lost.worst))} of them:" if lost.worse else ""), "",
    ]  # fmt: skip
    if private:
        cells = [[code(item.after["id"], 200), *_points(item)] for item in lost.worst]
        lines += table(["example", "before", "now", "difference"], cells, numbers=(1, 2, 3))
        return [*lines, "The data are private (`validate.private`), so their texts are not shown.", ""]
    room -= sum(len(line.encode()) + 1 for line in lines) + 100
    for place, item in enumerate(lost.worst, start=1):
        told = _example(place, item, whose)
        room -= sum(len(line.encode()) + 1 for line in told)
        if room < 0:
            return [*lines, f"{len(lost.worst) - place + 1} of these are not shown: the page would be too long.", ""]
        lines += told
    return lines


def _points(item: Regression) -> list[str]:
    before, now = item.scores
    return [number(before), number(now), number(now - before, "+.2f")]


def _example(place: int, item: Regression, whose: str) -> list[str]:
    before, now, change = _points(item)
    return [
        f"**{place}.** {code(item.after['id'], 200)}: {before} to {now} ({change})", "",
        *bullets([
            f"read: {code(item.after.get('input', ''), INPUT_BYTES)}",
            f"should have written: {code(item.after['target'], TEXT_BYTES)}",
            f"{plain(whose)} wrote: {code(item.before['output'], TEXT_BYTES)}",
            f"this version wrote: {code(item.after['output'], TEXT_BYTES)}",
        ]),
    ]  # fmt: skip


def _harm(model: Evidence) -> list[str]:
    """Toxic outputs, whom they mention, and suites about stereotypes."""
    rows = scores(ordered(harmful(model.metrics), "")[:MOST_ROWS], model.card)
    return ["## Harm and bias", "", *(rows or ["Neither was measured.", ""])]


def _origin(model: Evidence, links: Mapping[str, str]) -> list[str]:
    clean = {True: "clean", False: "names leaks", None: "not there"}[model.leaks_clean]
    page, report = links.get("page", ""), links.get("report")
    rows = [
        ["version", code(links.get("version", model.version))],
        ["identity (sha256 of the chain of digests)", code(links.get("identity", "unknown"))],
        ["weights (sha256)", code(model.weights or "unknown")],
        ["evidence (sha256 of its sealed manifest)", code(links.get("evidence_sha256", "unknown"))],
        ["test examples (sha256)", code(model.test)],
        ["leak certificate", clean],
        ["page in MLflow", f"[{page}]({page})" if PAGE.fullmatch(page) else code(page or "unknown")],
        ["report, among the run's artifacts", code(report or "unknown")],
    ]
    return ["## What is approved", "", *table(["what", "value"], rows)]
