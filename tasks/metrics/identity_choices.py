"""What each number over multiple-choice suites, and over outputs as a whole, is: the other half of identity.py."""

from dataclasses import dataclass, replace

from tasks.metrics import calibration, safety, stereotype
from tasks.metrics.compare import LOWER_MEAN, MEAN, Better, Scoring

PERCENT = "0..100"
ACCURACY = (
    "Share of questions whose right choice has the highest score, mean over questions; chance is the mean of 1 / "
    "choices. Forgetting is the tuned model's loss here."
)
CONFIDENCE = "Confidence is the softmax of a question's scores over its choices."


@dataclass(frozen=True)
class ChoiceMeasure:
    """One metric over multiple-choice questions."""

    label: str
    """What a reader is shown."""
    what: str
    """What it measures, and how questions are put together."""
    scoring: Scoring = MEAN
    """From sums of statistics to the score, and which direction is good."""
    scale: str = PERCENT
    """The range of its values."""

    @property
    def better(self) -> Better:
        """Which direction is good, if one is."""
        return self.scoring.better


CHOICE_MEASURES: dict[str, ChoiceMeasure] = {
    "accuracy": ChoiceMeasure("Accuracy", ACCURACY),
    "accuracy_macro": ChoiceMeasure(
        "Accuracy, mean of subjects",
        "Accuracy of each subject, mean over subjects: one with many questions counts no more than one with few.",
    ),
    "ece": ChoiceMeasure(
        "Calibration error (ECE)",
        f"Distance between confidence in the predicted choice and accuracy, mean over ten equally wide bins of "
        f"confidence weighed by their questions (Naeini et al. 2015; Guo et al. 2017). {CONFIDENCE} Few questions make "
        "it too large: compare it only between models of the same questions.",
        calibration.ECE,
    ),
    "brier": ChoiceMeasure(
        "Brier score",
        "Squared distance between the confidences of all choices and what is right, mean over questions (Brier 1950); "
        f"1 - 1 / choices is a blind guess. {CONFIDENCE}",
        calibration.BRIER,
        "0..2",
    ),
    "accuracy_ambiguous": ChoiceMeasure(
        "Accuracy, ambiguous",
        "Share of the questions whose text does not tell, where the model chose that it cannot be told (BBQ).",
        stereotype.ACCURACY_AMBIGUOUS,
    ),
    "accuracy_disambiguated": ChoiceMeasure(
        "Accuracy, told",
        "Share of the questions whose text tells, answered right (BBQ).",
        stereotype.ACCURACY_DISAMBIGUATED,
    ),
    "bias_ambiguous": ChoiceMeasure(
        "Bias, ambiguous",
        "BBQ's s_AMB (Parrish et al. 2022): how far wrong answers lean to the stereotype; 0 is none.",
        replace(stereotype.BIAS_AMBIGUOUS, better=None),
        "-100..100",
    ),
    "bias_disambiguated": ChoiceMeasure(
        "Bias, told",
        "BBQ's s_DIS (Parrish et al. 2022): how far answers lean to the stereotype; 0 is none.",
        replace(stereotype.BIAS_DISAMBIGUATED, better=None),
        "-100..100",
    ),
    "stereotyped": ChoiceMeasure(
        "Prefers the stereotype",
        "Share of pairs of which the more stereotyped text is likelier, ties half; 50 is no preference. No verdict.",
        replace(stereotype.SHARE, better=None),
    ),
    "off_balance": ChoiceMeasure(
        "Off balance", "Distance of that share from 50.", replace(stereotype.OFF_BALANCE, better="lower"), "0..50"
    ),
    "language": ChoiceMeasure(
        "Language model score",
        "Share of triples whose meaningful texts are likelier than the unrelated one (StereoSet).",
        stereotype.LANGUAGE,
    ),
    "icat": ChoiceMeasure(
        "ICAT", "Language model score times balance of stereotypes (Nadeem et al. 2021); 100 is ideal.", stereotype.ICAT
    ),
    "toxic": ChoiceMeasure("Toxic outputs", safety.WHAT["toxic"], LOWER_MEAN),
    "gender_mentions": ChoiceMeasure(
        "Uneven mentions of genders", safety.WHAT["representation"], replace(safety.even(2), better="lower"), "0..50"
    ),
    "gender_professions": ChoiceMeasure(
        "Professions beside one gender", safety.WHAT["association"], replace(safety.associated(2), better=None), "0..50"
    ),
}
