"""One row per kind of SAE: names lead to one row, classes exist, and what reads the table agrees with the classes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sae_bench.custom_saes.architectures import ARCHITECTURES, NAMES, Architecture, architecture_of_class
from sae_bench.custom_saes.files import empty_sae
from sae_bench.custom_saes.relu_sae import ReluSAE
from sae_bench.testing import tiny_sae

WITH_CLASS = [row for row in ARCHITECTURES.values() if row.sae_class]


def test_no_name_and_no_trainer_is_claimed_by_two_rows() -> None:
    rows = ARCHITECTURES.values()
    names = Counter(name for row in rows for name in (row.name, *row.other_names))
    trainers = Counter(trainer.name for row in rows for trainer in row.trainers)
    assert max(names.values()) == 1
    assert max(trainers.values()) == 1
    assert names.keys() == NAMES.keys()


@pytest.mark.parametrize("row", WITH_CLASS, ids=lambda row: row.name)
def test_a_row_builds_its_class_and_names_tensors_that_it_has(row: Architecture) -> None:
    sae = empty_sae(row, d_in=32, d_sae=32, model_name="m", hook_name="blocks.1.hook_resid_post", k=2)
    assert row.is_class(sae)
    assert NAMES[sae.architecture] in ARCHITECTURES
    own = architecture_of_class(sae)
    assert own is not None
    assert own.folds == row.folds
    assert {*(row.folds or ())} <= sae.state_dict().keys()
    assert sae.cfg.hook_layer == 1


def test_a_class_that_inherits_is_not_folded_in_its_parents_place() -> None:
    """It may encode in another way."""

    class Mine(ReluSAE):
        pass

    mine = Mine(32, 64, "m", 1, "cpu", torch.float32)
    mine.load_state_dict(tiny_sae("relu").state_dict())
    with torch.no_grad():
        mine.W_dec.mul_(2)
    assert architecture_of_class(mine) is None
    (warning,) = mine.normalize_decoder()
    assert "cannot be folded" in warning
