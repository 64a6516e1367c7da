"""Samples behind a metric, in memory and in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sae_bench.errors import ResultError, UsageError
from sae_bench.results.sample_files import read_samples, samples_path, write_samples
from sae_bench.results.samples import Samples, stack_draws, units_key


def texts(*rows: list[float], groups: tuple[int, ...] = (0, 0, 1), **kwargs: object) -> Samples:
    return Samples(torch.tensor(rows), torch.tensor([1.0, 1.0, 2.0]), groups, "test text", "k", **kwargs)


def draw(values: list[float], ids: list[int], *, groups: tuple[int, ...] | None = None) -> Samples:
    n = len(ids)
    key = units_key("t", map(str, (*ids, groups)))
    return Samples(
        torch.tensor([values]), torch.ones(n), groups or (0,) * n, "text", key, ids_U=torch.tensor(ids)
    )  # fmt: skip


def test_the_metric_of_a_seed_is_the_weighted_mean_of_what_is_defined():
    found = texts([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0])
    assert found.seed_values() == pytest.approx([9 / 4, 7 / 3])
    assert found.n_units == 3
    assert found.rows([1]).seed_values() == pytest.approx([7 / 3])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Samples(torch.ones(2, 3), torch.ones(2), (0, 0, 0), "text", "k"),
        lambda: Samples(torch.ones(2, 3), torch.ones(3), (0, 0), "text", "k"),
        lambda: Samples(torch.ones(2, 2), torch.tensor([1.0, -1.0]), (0, 0), "text", "k"),
        lambda: Samples(torch.ones(2, 2), torch.ones(2), (0, 0), "text", "k", random=False),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(wrong):
    with pytest.raises((UsageError, TypeError)):
        wrong()


def test_keys_tell_the_parts_apart():
    assert units_key("a", ["b", "c"]) == units_key("a", iter(["b", b"c"]))
    assert len({units_key("a", parts) for parts in (["bc"], ["b", "c"], ["c", "b"], [])}) == 4


def test_draws_of_the_same_units_stand_side_by_side():
    merged = stack_draws([texts([1.0, 2.0, 3.0]), texts([4.0, 5.0, 6.0])])
    assert merged.values_SU.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    fixed = Samples(torch.ones(1, 2), torch.ones(2), (0, 0), "row", "k", random=False)
    assert stack_draws([fixed, fixed]).random


def test_draws_that_share_units_are_laid_over_one_another():
    merged = stack_draws([draw([1.0, 2.0, 3.0], [7, 8, 8]), draw([4.0, 5.0], [8, 9])])
    nan = float("nan")
    wanted = torch.tensor([[1.0, 2.0, 3.0, nan], [nan, 4.0, nan, 5.0]])
    assert torch.equal(merged.values_SU.nan_to_num(-1), wanted.nan_to_num(-1))
    assert merged.seed_values() == pytest.approx([2.0, 4.5], rel=0.1)
    other_class = stack_draws([draw([1.0], [7], groups=(0,)), draw([2.0], [7], groups=(1,))])
    assert other_class.values_SU.shape == (2, 2)


def test_draws_of_other_units_stand_one_after_the_other():
    first, second = texts([1.0, 2.0, 3.0]), replace(texts([4.0, 5.0, 6.0]), key="others")
    merged = stack_draws([first, second])
    assert merged.values_SU.shape == (2, 6)
    assert merged.seed_values() == pytest.approx([first.seed_values()[0], second.seed_values()[0]])
    with pytest.raises(UsageError, match="one row"):
        stack_draws([texts([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])])


def test_files_give_back_what_was_written(tmp_path: Path):
    base = torch.rand(4, 3)
    written = {
        "a.b": Samples(base[:2], torch.tensor([1.0, 1.0, 2.0]), (0, 0, 1), "test text", "k"),
        "a.c": Samples(base[2:], torch.tensor([1.0, 1.0, 2.0]), (0, 0, 1), "test text", "k"),
        "d.e": Samples(base[:1], torch.ones(3), (0, 0, 0), "block of rows", "r", random=False),
        "d.f": draw([1.0, 2.0], [5, -6]),
    }
    path = samples_path(tmp_path, "my/release", "x/1")
    assert path == tmp_path / "samples" / "my_release_x_1.safetensors"
    write_samples(path, written, eval_name="e", eval_id="run", seeds=[1, 2])
    found = read_samples(path, eval_id="run")
    assert list(found) == list(written)
    for name, one in written.items():
        other = found[name]
        assert torch.equal(one.values_SU, other.values_SU)
        assert torch.equal(one.weights_U, other.weights_U)
        assert (one.groups_U, one.unit, one.key, one.random) == (
            other.groups_U, other.unit, other.key, other.random,
        )  # fmt: skip
        assert (one.ids_U is None) == (other.ids_U is None)
    assert other.ids_U.tolist() == [5, -6]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_that_are_not_the_results_are_refused(tmp_path: Path):
    path = samples_path(tmp_path, "r", "s")
    with pytest.raises(ResultError, match="cannot be read"):
        read_samples(path)
    write_samples(path, {"a.b": texts([1.0, 2.0, 3.0])}, eval_name="e", eval_id="run", seeds=[1])
    with pytest.raises(ResultError, match="another run"):
        read_samples(path, eval_id="another")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ResultError, match="cannot be read"):
        read_samples(path)
    write_samples(path, {}, eval_name="e", eval_id="run", seeds=[1])
    assert not path.exists()


def test_clusters_are_numbered_alike_in_all_draws():
    first = replace(draw([1.0, 2.0, 3.0], [7, 8, 9]), clusters_U=torch.tensor([-4, -4, 5]))
    second = replace(draw([4.0, 5.0], [8, 1]), clusters_U=torch.tensor([-4, 6]))
    merged = stack_draws([first, second])
    assert merged.values_SU.shape == (2, 4)
    assert merged.clusters_U is not None
    assert merged.clusters_U.tolist() == [-4, -4, 5, 6]
    assert (merged.n_units, merged.n_clusters) == (4, 3)
    with pytest.raises(UsageError, match="clusters"):
        stack_draws([first, replace(second, clusters_U=None)])
    with pytest.raises((UsageError, TypeError)):
        replace(first, clusters_U=torch.tensor([1]))


def test_files_keep_ids_and_clusters_of_every_metric(tmp_path: Path):
    plain = draw([1.0, 2.0], [5, 6])
    written = {
        "a.b": plain,
        "a.c": replace(plain, ids_U=torch.tensor([7, 8])),
        "a.d": replace(plain, clusters_U=torch.tensor([3, -(2**60)])),
    }
    path = tmp_path / "s.safetensors"
    write_samples(path, written, eval_name="e", eval_id="run", seeds=[1])
    read = read_samples(path)
    for name, one in written.items():
        other = read[name]
        assert one.ids_U is not None
        assert other.ids_U is not None
        assert torch.equal(one.ids_U, other.ids_U)
        assert (one.clusters_U is None) == (other.clusters_U is None)
    assert read["a.d"].clusters_U is not None
    assert read["a.d"].clusters_U.tolist() == [3, -(2**60)]
