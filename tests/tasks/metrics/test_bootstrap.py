"""Resamples: that they are multinomial, paired and stable, and that their sums are what they should be."""

import numpy as np
import pytest

from segscale.tasks.metrics import bootstrap
from segscale.tasks.metrics.bootstrap import BLOCK_UNITS, UnitSums, mean_of, resample, weigh


def _weights(n_units: int, n_resamples: int) -> np.ndarray:
    table = np.zeros((n_resamples, n_units), np.int64)
    for units, resamples, weights in bootstrap._multinomial_weights(n_units, n_resamples, [0]):
        table[resamples, units] += weights
    return table


@pytest.mark.parametrize("n_units", [1, 7, BLOCK_UNITS, BLOCK_UNITS + 1, 2 * BLOCK_UNITS + 500])
def test_each_resample_draws_as_many_units_as_there_are(n_units: int) -> None:
    weights = _weights(n_units, 70)
    assert (weights.sum(axis=1) == n_units).all()
    assert n_units == 1 or (weights[0] != weights[1]).any()


def test_units_are_drawn_alike_whatever_their_block() -> None:
    n_units, n_resamples = 2 * BLOCK_UNITS + 500, 300
    weights = _weights(n_units, n_resamples)
    blocks = np.arange(n_units) // BLOCK_UNITS
    # Multinomial: mean 1, variance 1 - 1/U and covariance -1/U, so the sum of m units has variance m (1 - m/U).
    assert weights.var() == pytest.approx(1, abs=0.01)
    for block in range(3):
        of_block = weights[:, blocks == block].sum(axis=1)
        m = int((blocks == block).sum())
        deviation = np.sqrt(m * (1 - m / n_units))
        assert of_block.mean() == pytest.approx(m, abs=4 * deviation / np.sqrt(n_resamples))
        assert of_block.std() == pytest.approx(deviation, rel=0.2)


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).random(3 * BLOCK_UNITS)
    [resampled] = resample([UnitSums(values, np.ones(values.size), 0.0)], 1000, [3])
    assert resampled.replicates.std() == pytest.approx(values.std() / np.sqrt(values.size), rel=0.1)
    assert resampled.replicates.mean() == pytest.approx(
        values.mean(), abs=4 * values.std() / np.sqrt(values.size * 1000)
    )


def test_resamples_are_stable_and_paired() -> None:
    ones, values = np.ones(30), np.arange(30.0)
    columns = [UnitSums(values, ones, 0.0), UnitSums(2 * values, ones, 0.0)]
    first, second = resample(columns, 64, [0])
    np.testing.assert_array_equal(2 * first.replicates, second.replicates)
    np.testing.assert_array_equal(resample(columns[:1], 64, [0])[0].replicates, first.replicates)
    np.testing.assert_allclose(first.leave_one_out(), (values.sum() - values) / 29)
    assert first.influence().mean() == pytest.approx(0, abs=1e-12)


def test_smoothing_is_added_once_to_the_sums_of_a_resample() -> None:
    [resampled] = resample([UnitSums(np.full(12, 2.0), np.full(12, 4.0), 1.0)], 5, [0])
    assert resampled.replicates == pytest.approx([25 / 49] * 5)
    assert resampled.leave_one_out() == pytest.approx([23 / 45] * 12)


def test_mean_of_is_the_mean_of_all_that_is_defined() -> None:
    generator = np.random.default_rng(2)
    columns = [UnitSums(generator.random(20), np.ones(20), 0.0) for _ in range(2)]
    nothing = UnitSums(np.zeros(20), np.zeros(20), 0.0)
    first, second, undefined = resample([*columns, nothing], 16, [0])
    mean = mean_of([first, undefined, second], ["a", "nothing", "b"])
    assert mean.estimate == pytest.approx((first.estimate + second.estimate) / 2)
    np.testing.assert_allclose(mean.replicates, (first.replicates + second.replicates) / 2)
    np.testing.assert_allclose(mean.leave_one_out(), (first.leave_one_out() + second.leave_one_out()) / 2)
    np.testing.assert_allclose(mean.influence(), (first.influence() + second.influence()) / 2)
    assert np.isnan(mean_of([undefined], ["nothing"]).estimate)


def test_a_resample_without_one_of_the_classes_says_nothing_of_their_mean() -> None:
    """Left out instead: of the common class alone it would estimate another mean."""
    rare = UnitSums(np.eye(1, 20)[0] / 2, np.eye(1, 20)[0], 0.0)
    common, seldom = resample([UnitSums(np.full(20, 0.9), np.ones(20), 0.0), rare], 200, [0])
    mean = mean_of([common, seldom], ["common", "rare"])
    assert mean.estimate == pytest.approx(0.7)
    assert (mean.n_units, mean.scarcest) == (1, "rare")
    assert np.isnan(mean.replicates).mean() == pytest.approx((19 / 20) ** 20, abs=0.1)
    np.testing.assert_allclose(mean.replicates[~np.isnan(mean.replicates)], 0.7)


@pytest.mark.parametrize("n_units", [1, 3, 64, 1301])
def test_weigh_is_the_matrix_product(n_units: int) -> None:
    generator = np.random.default_rng(0)
    weights, columns = generator.integers(0, 4, (7, n_units)).astype(np.int32), generator.random((n_units, 5))
    np.testing.assert_allclose(weigh(weights, columns), weights @ columns, rtol=1e-12)


@pytest.mark.parametrize("n_units", [1, 3, 64, 503, 1301])
def test_few_numbers_are_drawn_and_weighed_to_the_same_bits(n_units: int) -> None:
    """By numpy and by what is compiled: where the one takes over from the other shows in no table."""
    drawn = [list(bootstrap._multinomial_weights(n_units, 70, [0], few)) for few in (False, True)]
    columns = np.random.default_rng(0).lognormal(0, 3, (n_units, 5))
    for (units, resamples, weights), of_few in zip(*drawn, strict=True):
        assert (units, resamples) == of_few[:2]
        np.testing.assert_array_equal(weights, of_few[2])
        np.testing.assert_array_equal(weigh(weights, columns), weigh(weights, columns, few=True))


def test_equal_columns_are_resampled_once() -> None:
    generator = np.random.default_rng(0)
    values, others, ones = generator.random(40), generator.random(40), np.ones(40)
    columns = [UnitSums(values, ones, 0.0), UnitSums(others, ones, 0.0), UnitSums(values.copy(), ones.copy(), 0.0)]
    first, second, same = resample([*columns, UnitSums(values, ones, 1.0)], 16, [0])[:3]
    assert same is first
    assert second is not first
    alone = resample(columns[1:2], 16, [0])[0]
    np.testing.assert_array_equal(alone.replicates, second.replicates)


def test_many_numbers_are_weighed_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks in a thread of its own, in the order in which they were drawn."""
    values = np.random.default_rng(0).random(2 * BLOCK_UNITS + 500)
    column = UnitSums(values, np.ones(values.size), 0.0)
    [few] = resample([column], 70, [0])
    monkeypatch.setattr(bootstrap, "FEW_NUMBERS", 0)
    [many] = resample([column], 70, [0])
    np.testing.assert_array_equal(few.replicates, many.replicates)


def test_nothing_to_draw_from_or_no_resample() -> None:
    empty, one = UnitSums(np.empty(0), np.empty(0), 0.0), UnitSums(np.ones(3), np.ones(3), 0.0)
    assert np.isnan(resample([empty], 4, [0])[0].replicates).all()
    assert resample([one], 0, [0])[0].replicates.size == 0


def test_what_is_loaded_beforehand_is_all_that_many_units_need() -> None:
    bootstrap.warm_up(bootstrap.FEW_NUMBERS)
    compiled = bootstrap.count_draws.dispatcher, bootstrap._weigh_many.dispatcher  # type: ignore[attr-defined]
    before = [list(one.signatures) for one in compiled]
    values = np.random.default_rng(0).random(bootstrap.FEW_NUMBERS)
    resample([UnitSums(values, np.ones_like(values), 0.0)], 3, [1])
    assert all(before)
    assert [list(one.signatures) for one in compiled] == before


def test_few_units_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_multinomial_weights", lambda *_: pytest.fail("something was drawn"))
    bootstrap.warm_up(1000)
