from __future__ import annotations

import keras
import numpy as np
import pytest

from tasks.models.unet_plus_plus import build_unet_plus_plus
from tasks.networks import select_outputs, stride, with_policy


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_unet_plus_plus(channels=1, outputs=1, filters=(2, 3, 4), normalization="batch")


def test_a_selection_is_a_real_subgraph(model: keras.Model) -> None:
    part = select_outputs(model, ["head_1"])
    assert part.output_names == ["head_1"]
    assert part.count_params() < model.count_params()
    assert part.get_layer("X_0_1_conv_1") is model.get_layer("X_0_1_conv_1")
    assert (stride(part), stride(model)) == (2, 4)


def test_outputs_come_in_the_order_asked_for(model: keras.Model) -> None:
    assert select_outputs(model, ["head_2", "head_1"]).output_names == ["head_2", "head_1"]


def test_an_output_that_is_not_there_is_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"no output \['head_9'\]; its outputs are \['head_1', 'head_2'\]"):
        select_outputs(model, ["head_9"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_copy_under_a_policy_keeps_weights_and_float32_outputs(model: keras.Model, policy: str) -> None:
    copy = with_policy(model, policy)
    assert copy.output_names == model.output_names
    assert {tensor.dtype for tensor in copy.outputs} == {"float32"}
    assert copy.get_layer("X_0_0_conv_1").dtype_policy.name == policy
    for ours, theirs in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert copy.get_layer("X_0_0_conv_1") is not model.get_layer("X_0_0_conv_1")
