import re

import numpy as np
import pytest

from segscale.tasks.full_scale import agree
from segscale.tasks.readers import UNDECIDED

U2, U1, I2 = "uint16", "uint8", "int16"


@pytest.mark.parametrize(
    ("dtypes", "stated", "expected", "disputed"),
    [
        pytest.param([U2, U2], [4095, 4095], [4095, 4095], [], id="all say the same"),
        pytest.param([U2, U2], [0, 0], [0, 0], [], id="none says anything"),
        pytest.param([U2, U2], [1023, 4095], [0, 0], ["1 say 1023 .* 1 say 4095"], id="they say different things"),
        pytest.param([U2, U2, U2], [4095, 0, 4095], [0, 0, 0], ["1 say nothing, 2 say 4095"], id="one says nothing"),
        pytest.param([U2, U2], [UNDECIDED, 1023], [1023, 1023], [], id="a black one follows the others"),
        pytest.param([U2, U2], [UNDECIDED, UNDECIDED], [0, 0], [], id="all black: their type"),
        pytest.param([U2, U2], [UNDECIDED, 0], [0, 0], [], id="a black one beside scaled ones"),
        pytest.param([U2, U1, U2], [4095, 0, 4095], [4095, 0, 4095], [], id="other types are asked by themselves"),
        pytest.param([U2, ""], [4095, 0], [4095, 0], [], id="what cannot be read has no say"),
        pytest.param([U2, I2], [4095, 1023], [4095, 1023], [], id="two types"),
    ],
)
def test_a_maximum_counts_where_all_files_of_a_type_state_it(
    dtypes: list[str], stated: list[int], expected: list[int], disputed: list[str]
) -> None:
    found = agree(np.array(dtypes, object), np.array(stated, np.int64))
    assert found.of_images.tolist() == expected
    assert len(found.agreed) == len({scale for scale in expected if scale})
    assert len(found.disputed) == len(disputed)
    for sentence, pattern in zip(found.disputed, disputed, strict=True):
        assert re.search(pattern, sentence)
        assert "dataset.full_scale" in sentence
