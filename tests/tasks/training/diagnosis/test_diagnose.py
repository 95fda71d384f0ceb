"""Mistakes planted in a made history of a sound training: each is found, by its own signature; the sound one is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.findings import Finding
from segscale.tasks.training.diagnosis.course import TrainingFacts, courses_of
from segscale.tasks.training.diagnosis.diagnose import diagnose_history

N_EPOCHS = 24
SHARE, IMAGES, EMPTY = 0.0464, 60, 20
FACTS = TrainingFacts(
    loss="dice", reduction_axes="per_sample", smooth=1.0, class_weights=(0.3, 0.7), tversky_alpha=0.3,
    tversky_beta=0.7, l2=1e-4, head_weights=(1.0, 1.0, 1.0, 1.0), threshold=0.5, classes=("background", "lesion"),
)  # fmt: skip
BATCH = TrainingFacts(**{name: getattr(FACTS, name) for name in ("smooth", "class_weights")}, reduction_axes="batch")


def _rows(split: str, seed: int) -> pd.DataFrame:
    """A training that learns: scores saturate below 0.9, the penalty falls a little, batches and means agree."""
    generator = np.random.default_rng(seed)
    epoch = np.arange(1, N_EPOCHS + 1)
    learnt = 1 - np.exp(-epoch / 5)
    noise = generator.normal(0, 0.006, N_EPOCHS)
    dice = 0.1 + 0.75 * learnt + noise - (0.03 if split == "validation" else 0.0)
    rows = pd.DataFrame({"epoch": epoch, "split": split, "n_images": IMAGES, "n_batches": 8})
    rows["regularization"] = 0.5 - 0.1 * learnt
    for head in range(1, 5):
        rows[f"head_{head}_loss"] = 1 - dice + 0.02 * (4 - head)
        rows[f"head_{head}_weight"] = 1.0
    rows["loss"] = rows[[f"head_{head}_loss" for head in range(1, 5)]].sum(axis=1) + rows["regularization"]
    for aggregation, lead in (("per_sample", 0.0), ("batch_summed", 0.02), ("pooled", 0.03)):
        rows[f"dice_{aggregation}"] = rows[f"dice_{aggregation}_class_1"] = dice + lead
        rows[f"dice_{aggregation}_class_0"] = 0.97 + 0.02 * learnt
        # As many false positives as false negatives: Tversky and Dice agree.
        rows[f"tversky_{aggregation}"] = dice + lead
    rows["sparse_categorical_accuracy"] = 0.96 + 0.03 * learnt
    rows["n_reference_empty"], rows["n_prediction_empty"], rows["n_both_empty"] = EMPTY, EMPTY - 2, EMPTY - 4
    rows["smoothed_dice_reference_empty"], rows["smoothed_dice_reference_present"] = 0.2 + 0.6 * learnt, dice + 0.01
    rows["predicted_share"], rows["reference_share"] = SHARE * (1.4 - 0.4 * learnt), SHARE
    rows["probability_mean"], rows["probability_std"] = SHARE, 0.1 + 0.1 * learnt
    rows["best_threshold"], rows["dice_per_sample_at_best"] = 0.4375, dice + 0.005
    rows["learning_rate"] = 1e-3 * (1 + np.cos(np.pi * epoch / N_EPOCHS)) / 2
    return rows


def _healthy(seed: int = 3) -> pd.DataFrame:
    return pd.concat([_rows("training", seed), _rows("validation", seed + 1)], ignore_index=True)


HEALTHY = _healthy()
TRAINING, VALIDATION = HEALTHY["split"] == "training", HEALTHY["split"] == "validation"
EPOCH = HEALTHY["epoch"].to_numpy()
LEARNT = (EPOCH - 1) / (N_EPOCHS - 1)
FOREIGN = HEALTHY[["epoch", "split", "loss"]]
DICE = [name for name in HEALTHY if str(name).startswith("dice_") and not str(name).endswith("_class_0")]


def _total(**parts: Any) -> dict[str, Any]:
    """Parts of a loss, and the loss that they sum to."""
    frame = HEALTHY.assign(**parts)
    heads = frame[[f"head_{head}_loss" for head in range(1, 5)]].sum(axis=1)
    return {**parts, "loss": heads + frame["regularization"]}


def _heads(loss: Any) -> dict[str, Any]:
    return {f"head_{head}_loss": loss for head in range(1, 5)}


def _everywhere(names: list[Any], value: Any) -> dict[str, Any]:
    return dict.fromkeys(map(str, names), value)


def _loud(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.signature, one.severity) for one in findings if one.severity != "note"]


def _named(findings: list[Finding], signature: str) -> Finding:
    (found,) = [one for one in findings if one.signature == signature]
    return found


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(HEALTHY, id="everything known"),
        pytest.param(HEALTHY[TRAINING], id="training alone"),
        pytest.param(HEALTHY[VALIDATION], id="validation alone"),
        pytest.param(HEALTHY[HEALTHY["epoch"] == 1], id="one epoch"),
        pytest.param(HEALTHY[HEALTHY["epoch"] <= 3], id="three epochs"),
        pytest.param(FOREIGN.assign(dice_coef=HEALTHY["dice_pooled"], lr=1e-3), id="another's metric"),
        pytest.param(FOREIGN.assign(mae=0.02, val_count=7.0)[:0:-1], id="others' constants, in any order"),
        pytest.param(FOREIGN, id="nothing but losses"),
        *(pytest.param(_healthy(seed), id=f"other noise {seed}") for seed in (11, 12, 13)),
    ],
)
def test_a_sound_training_has_no_warning(history: pd.DataFrame) -> None:
    history = history.drop(columns="val_count", errors="ignore")
    assert _loud(diagnose_history(history, FACTS)) == []
    assert _loud(diagnose_history(history, TrainingFacts())) == []


def test_notes_of_the_sound_training() -> None:
    findings = diagnose_history(HEALTHY, FACTS)
    assert [one.signature for one in findings] == ["loss-exceeds-one", "smoothed-empty-reference"]
    assert "33.3% of the images have no reference; with s = 1 one false pixel gives 0.5" in findings[1].evidence


PENALTY = _total(**_heads(0.7071), regularization=0.73 - 0.5 * LEARNT)
TWO_MEAN = 2 * SHARE / (1 + SHARE)
BACKGROUND = float(2 * (1 - SHARE) / (2 - SHARE))
PLANTED = [
    pytest.param(
        {**PENALTY, **_everywhere(DICE, 0.31)}, "only-regularization-falls", "warning",
        "regularization of it 0.5 (100.0%), the heads 0", id="the L2 part alone falls",
    ),
    pytest.param(
        {"smoothed_dice_reference_present": 0.33 + 0.001 * LEARNT, **_everywhere(DICE, 0.32)},
        "smoothing-saturates", "warning", "worth 0.1135 of each head's loss", id="smoothing on empty references",
    ),
    pytest.param(
        {**_everywhere(DICE, 0.35), "dice_batch_summed": 0.4 + 0.4 * LEARNT, "dice_pooled": 0.45 + 0.4 * LEARNT,
         "smoothed_dice_reference_empty": 0.9},
        "batch-summed-hides-small-lesions", "warning",
        "dice_batch_summed 0.4 at epoch 1, 0.8 at epoch 24; dice_pooled 0.45 at epoch 1, 0.85 at epoch 24; "
        "dice_per_sample 0.35 at epoch 1, 0.35 at epoch 24", id="small lesions stay missed",
    ),
    pytest.param(
        {"dice_per_sample_at_best": HEALTHY["dice_per_sample"] + 0.1, "best_threshold": 0.0625},
        "threshold-far-off", "warning", "at 0.5, 0.9132 at 0.0625", id="threshold far off",
    ),
    pytest.param(
        {"dsc": HEALTHY["dice_pooled_class_0"]}, "metric-reads-background", "error",
        "as is dice_per_sample_class_0; dice_per_sample_class_1 0.2",
        id="a metric of the background's channel",
    ),
    pytest.param(
        {**_everywhere(DICE, 0.0002), **_everywhere(["predicted_share"], 1e-5)}, "hardly-any-overlap", "error",
        "dice_pooled_class_0 0.9736 at epoch 1, 0.9898 at epoch 24; dice_pooled_class_1 0.0002",
        id="background near 1, foreground nowhere",
    ),
    pytest.param(
        {"probability_std": 2e-6, "probability_mean": 0.5, **_everywhere(DICE, 0.0), **_heads(0.7444)},
        "constant-prediction", "error", "probability 0.5, standard deviation 2e-06", id="one probability everywhere",
    ),
    pytest.param(
        {"predicted_share": 0.0, **_everywhere(DICE, 0.0)}, "nothing-foreground", "error",
        "predicted share 0, reference share 0.0464", id="all background",
    ),
    pytest.param(
        {"predicted_share": 1.0, **_everywhere(DICE, TWO_MEAN)}, "everything-foreground", "error",
        f"2F/(F+N) = {TWO_MEAN:.4f} whatever", id="softmax over one channel",
    ),
    pytest.param(
        {"predicted_share": 0.95, **_everywhere(DICE, 0.012),
         **{f"dice_{name}_class_0": 0.01 for name in ("per_sample", "batch_summed", "pooled")}},
        "wrong-channel", "error", "predicted share 0.95, reference share 0.0464", id="the negative of the reference",
    ),
    pytest.param(
        {"dice_coef": TWO_MEAN}, "constant-metric", "error",
        f"dice_coef {TWO_MEAN:.6g}, and 1 such in all; with a foreground share of 0.0464, 2F/(F+N) is 0.08869",
        id="a reference of one channel against two",
    ),
    pytest.param(
        {"tversky": 1 - 2 * HEALTHY["loss"] / 6, "dice": 1.9 - 0.4 * LEARNT[::-1]}, "labels-as-numbers", "error",
        "dice up to 1.9",
        id="labels of 255, Dice near 2",
    ),
    pytest.param({"loss": -30 * LEARNT}, "labels-as-numbers", "error", "loss down to -30", id="labels of 255, loss"),
    pytest.param({"my_iou": 255 * LEARNT}, "labels-as-numbers", "error", "my_iou up to 255", id="labels of 255, IoU"),
    pytest.param(
        {"loss": HEALTHY["loss"].where(EPOCH < 9)}, "loss-not-finite", "error", "16 of 24 epochs, first epoch 9",
        id="NaN from epoch 9",
    ),
    pytest.param(
        {"loss": HEALTHY["loss"].where(EPOCH != 9, np.inf)}, "loss-not-finite", "error", "1 of 24 epochs",
        id="infinity once",
    ),
    pytest.param(
        {"dice_per_sample": np.where(VALIDATION, 0.7 - 0.012 * np.abs(EPOCH - 8), HEALTHY["dice_per_sample"]),
         "dice_per_sample_at_best": np.nan},
        "overfitting", "warning", "validation dice_per_sample 0.7 at its best epoch 8, 0.508 at epoch 24",
        id="validation gets worse",
    ),
    pytest.param(
        {"loss": 2 + 3 * LEARNT}, "loss-rises", "warning", "loss 2 at epoch 1, 5 at epoch 24", id="divergence",
    ),
    pytest.param(
        {"learning_rate": 0.0}, "learning-rate-zero", "error", "24 of 24 epochs", id="learning rate 0 throughout",
    ),
    pytest.param(
        {"learning_rate": np.where(EPOCH > 10, 0.0, 1e-3)}, "learning-rate-zero", "warning", "first epoch 11",
        id="a schedule that ends too early",
    ),
    pytest.param(
        {"dice_pooled_class_2": 0.0}, "class-never-found", "warning", "class lesion 0.8432, class 2 0.0000",
        id="one class of two",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "signature", "severity", "words"), PLANTED)
def test_a_planted_mistake_is_found_and_no_other(
    planted: dict[str, Any], signature: str, severity: str, words: str
) -> None:
    findings = diagnose_history(HEALTHY.assign(**planted), FACTS)
    assert _loud(findings) == [(signature, severity)]
    assert words in _named(findings, signature).evidence


def test_the_documents_name_every_planted_mistake() -> None:
    text = (Path(__file__).parents[4] / "docs" / "compare-and-diagnose.md").read_text(encoding="utf-8")
    # values: what pytest calls the arguments of a row, not an array.
    assert {name for _, name, *_ in (row.values for row in PLANTED) if f"`{name}`" not in text} == set()  # noqa: PD011


@pytest.mark.parametrize(
    ("planted", "facts", "words"),
    [
        pytest.param(
            {"probability_mean": 0.5, "probability_std": 0.0, **_heads(0.7444)}, BATCH,
            "= 0.744 is the loss of such a prediction, and that of 4 of 4 heads (0.744)", id="uniform, 0.744",
        ),
        pytest.param(
            {"predicted_share": 0.0, **_everywhere(DICE, 0.0), **_heads(0.706)}, BATCH,
            "1 - (0.3 x 0.9762 background + 0.7 x 0.0000 foreground) = 0.707", id="all background, 0.706",
        ),
        pytest.param(
            {"predicted_share": 0.0, **_everywhere(DICE, 0.0), **_heads(0.4743), "smoothed_dice_reference_empty": 1.0,
             "smoothed_dice_reference_present": 0.0003}, FACTS,
            "0.7 x 0.3335 foreground) = 0.474", id="all background, smoothed per image: the empty ones have Dice 1",
        ),
    ],
)  # fmt: skip
def test_the_loss_of_a_constant_prediction(planted: dict[str, Any], facts: TrainingFacts, words: str) -> None:
    (found,) = [one for one in diagnose_history(HEALTHY.assign(**planted), facts) if one.severity == "error"]
    assert words in found.evidence


def test_the_loss_of_a_constant_prediction_is_told_only_where_it_fits() -> None:
    findings = diagnose_history(HEALTHY.assign(predicted_share=0.0, **_everywhere(DICE, 0.0), **_heads(0.5)), BATCH)
    assert "is the loss of such" not in _named(findings, "nothing-foreground").evidence


@pytest.mark.parametrize(
    ("frame", "cause", "evidence"),
    [
        pytest.param(
            HEALTHY.assign(**PENALTY), "4 heads are added, with weights that sum to 4; the penalty on the weights "
            "(l2 = 0.0001) is added", "loss 3.558 at epoch 1 = 1 x 0.7071 (head 1) + 1 x 0.7071 (head 2) + "
            "1 x 0.7071 (head 3) + 1 x 0.7071 (head 4) + 0.73 (regularization)", id="heads and L2",
        ),
        pytest.param(
            FOREIGN.assign(regularization=0.4, head_1_loss=1.6, head_1_weight=1.0, loss=2.0),
            "the penalty on the weights (l2 = 0.0001) is added; a head's loss alone is above 1, as the sum of Dice and "
            "cross-entropy can be", "loss 2 at epoch 1 = 1 x 1.6 (head 1) + 0.4 (regularization)", id="L2 and a sum",
        ),
        pytest.param(FOREIGN, "its parts are not in this history", "at epoch 24", id="parts unknown"),
    ],
)  # fmt: skip
def test_why_the_loss_exceeds_one(frame: pd.DataFrame, cause: str, evidence: str) -> None:
    found = _named(diagnose_history(frame, FACTS), "loss-exceeds-one")
    assert found.severity == "note"
    assert cause in found.cause
    assert evidence in found.evidence


def test_a_loss_below_one_is_not_taken_apart() -> None:
    assert diagnose_history(FOREIGN.assign(loss=0.9 - 0.5 * np.minimum(3 * LEARNT, 1)), FACTS) == []


def test_a_score_that_stands_high_is_a_note() -> None:
    findings = diagnose_history(HEALTHY.assign(**PENALTY, **_everywhere(DICE, 0.9)), FACTS)
    assert _named(findings, "only-regularization-falls").severity == "note"


def test_over_a_batch_smoothing_saturates_nowhere() -> None:
    planted = HEALTHY.assign(smoothed_dice_reference_present=0.33, **_everywhere(DICE, 0.32))
    assert not [one for one in diagnose_history(planted, BATCH) if one.signature.startswith("smooth")]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"dsc": 0.3 + 0.001 * LEARNT}, [("loss-falls-score-stands", "warning")], id="a metric stands"),
        pytest.param({"dsc": 0.9 + 0.001 * LEARNT}, [], id="it stands high"),
        pytest.param({"acc": 0.0938}, [("constant-metric", "error")], id="it is one number"),
        pytest.param({"dsc": np.where(TRAINING, LEARNT, 0.3 + 0.001 * LEARNT)},
                     [("loss-falls-score-stands", "warning")], id="only in validation"),
    ],
)  # fmt: skip
def test_histories_of_others(metrics: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert _loud(diagnose_history(FOREIGN.assign(**metrics), TrainingFacts())) == expected


def test_a_constant_metric_says_of_which_share_it_is_made() -> None:
    found = _named(diagnose_history(FOREIGN.assign(dsc=TWO_MEAN), TrainingFacts()), "constant-metric")
    assert "2F/(F+N) has this value for a foreground of 4.6400% of all pixels" in found.evidence


def test_alpha_and_beta_swapped() -> None:
    """Worked out by hand: 1000/(1000 + 0.3 x 669 + 0.7 x 165) = 0.760, exchanged 0.659."""
    tp, fp, fn = 1000, 669, 165
    frame = HEALTHY[VALIDATION].assign(
        dice_pooled=scores.dice(tp, fp, fn),
        tversky_pooled=scores.tversky(tp, fp, fn, 0.3, 0.7),
        tversky_index=scores.tversky(tp, fp, fn, 0.7, 0.3) - 1e-4 * LEARNT[VALIDATION] * 3,
    )
    found = _named(diagnose_history(frame, FACTS), "alpha-beta-swapped")
    assert "tversky_index 0.6585, tversky_pooled 0.7598" in found.evidence
    assert "with 0.3 for false negatives and 0.7 for false positives it would be 0.6588" in found.evidence
    right = frame.assign(tversky_index=frame["tversky_pooled"] + 3e-4 * LEARNT[VALIDATION])
    assert _loud(diagnose_history(right, FACTS)) == []


def test_a_negative_tversky_is_a_note() -> None:
    (found, *_) = diagnose_history(FOREIGN.assign(loss=-0.2 - 0.5 * np.sqrt(LEARNT)), TrainingFacts())
    assert (found.signature, found.severity) == ("negative-loss", "note")


def test_a_loss_that_still_falls_is_a_note() -> None:
    findings = diagnose_history(FOREIGN.assign(loss=1 - 0.5 * LEARNT), TrainingFacts())
    assert [one.signature for one in findings] == ["still-falling"]


def test_overfitting_by_the_loss_where_no_score_is_known() -> None:
    loss = np.where(VALIDATION, 0.5 + 0.02 * np.abs(EPOCH - 8), 0.9 - 0.3 * LEARNT)
    assert _loud(diagnose_history(FOREIGN.assign(loss=loss), TrainingFacts())) == [("overfitting", "warning")]


@pytest.mark.parametrize(
    "values",
    [pytest.param([0.3, 0.31, 0.3], id="three epochs"), pytest.param([0.1, 0.5, *[0.6] * 10], id="learnt before")],
)
def test_since_when_a_score_stands(values: list[float]) -> None:
    rows = pd.DataFrame({"epoch": range(1, len(values) + 1), "split": "training", "loss": 1.0, "dice": values})
    start = courses_of(rows)[0].stands_since("dice")
    assert start is not None
    assert np.ptp(values[start:]) <= 0.11


@pytest.mark.parametrize(
    "frame", [pytest.param(FOREIGN[:0], id="no row"), pytest.param(FOREIGN.drop(columns="loss"), id="no loss")]
)
def test_what_is_no_history_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="history: expected rows of training or validation"):
        diagnose_history(frame, FACTS)
