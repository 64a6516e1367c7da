"""Synthetic models: samples by number, statistics that follow from the parameters, plain refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic_tiny import tiny_parameters

from sae_bench.errors import HookError, ModelError, UnknownNameError, UsageError
from sae_bench.language_models import load_language_model
from sae_bench.language_models.synthetic.features import make_features, pushed_apart, zipf_probabilities
from sae_bench.language_models.synthetic.model import SyntheticModel
from sae_bench.language_models.synthetic.samples import draw_activity

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lm() -> SyntheticModel:
    return SyntheticModel.of(tiny_parameters())


def test_a_number_is_the_same_sample_whatever_comes_with_it(lm: SyntheticModel) -> None:
    numbers = torch.tensor([5, 40_000, 1_023, 1_024, 5])
    together = lm.capture(numbers[:, None], [HOOK])[HOOK]
    assert together.shape == (5, 1, 32)
    fresh = SyntheticModel.of(tiny_parameters())
    alone = torch.cat([fresh.capture(n.view(1, 1), [HOOK])[HOOK] for n in numbers.flip(0)]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together[0], together[4])
    assert not torch.equal(together[0], together[1])


def test_an_activation_is_the_sum_of_its_features(lm: SyntheticModel) -> None:
    numbers = lm.numbers(7, 50)
    values = lm.activity(numbers).toarray()
    f = lm.features
    expected = values.astype(np.float64) @ f.directions_GD.double().numpy() + f.bias_D.double().numpy()
    np.testing.assert_allclose(lm.capture(numbers[:, None], [HOOK])[HOOK][:, 0].numpy(), expected, atol=1e-5)


def test_seeds_have_samples_of_their_own(lm: SyntheticModel) -> None:
    assert set(lm.numbers(42, 1000).tolist()).isdisjoint(lm.numbers(43, 1000).tolist())
    with pytest.raises(UsageError, match="1,048,576"):
        lm.numbers(42, 10, start=1 << 20)


def test_the_hierarchy_holds_in_every_sample(lm: SyntheticModel) -> None:
    on = lm.activity(lm.numbers(1, 5000)).toarray() > 0
    depths = {depth for depth, _ in lm.features.hierarchy.groups}
    assert depths == {1, 2}
    for root in lm.features.hierarchy.roots:
        for parent in (root, *root.children):
            children = [child.feature for child in parent.children]
            n_on = on[:, children].sum(axis=1)
            assert n_on.max() == 1
            assert not on[n_on == 1, parent.feature].__invert__().any()


def test_free_features_fire_with_their_probability_and_size(lm: SyntheticModel) -> None:
    n = 20_000
    values = lm.activity(lm.numbers(2, n)).toarray()
    base_G = zipf_probabilities(64, 0.4, 0.01, 0.5).numpy()
    free = lm.features.hierarchy.tree_of(64).numpy() < 0
    assert free.sum() == 64 - 2 * (1 + 3 + 9)
    for rate, expected in (((values > 0).mean(axis=0)[free], base_G[free]),):
        assert (np.abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()
    roots = values[:, :2]
    size = np.array([column[column > 0].mean() for column in roots.T])
    np.testing.assert_allclose(size, lm.features.mean_G[:2], rtol=0.05)  # relu moves the mean of a wide spread a little


def test_correlated_causes_keep_variance_one() -> None:
    f = make_features(tiny_parameters(correlation_scale=0.5))
    torch.testing.assert_close(f.causes_GR.pow(2).sum(1) + f.own_G.pow(2), torch.ones(64))
    assert float(f.own_G.pow(2).min()) >= 0.01 - 1e-6


def test_pushing_apart_is_adam_on_the_published_loss() -> None:
    start = torch.nn.functional.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    weight = start.clone().requires_grad_(True)
    first, second = torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, 31):
        with torch.enable_grad():
            dots = weight @ weight.T
            off = dots - torch.diag(dots.diagonal())
            loss = off.pow(2).sum() + 40 * (dots.diagonal() - 1).pow(2).sum()
            (gradient,) = torch.autograd.grad(loss, weight)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.pow(2)
        moved = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        weight = (weight - 1e-2 * moved).detach().requires_grad_(True)
    expected = torch.nn.functional.normalize(weight.detach())
    found = pushed_apart(start, steps=30, lr=1e-2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - start).abs().max() > 0.05


def test_models_load_by_name_and_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("n_features: 50\nd_model: 16\nn_trees: 1\northogonal_steps: 2\n")
    mine = load_language_model(f"synthetic:{path}", device="cpu")
    assert (mine.kind, mine.d_model, mine.n_layers) == ("synthetic", 16, 1)
    assert mine.fingerprint() == load_language_model(f"synthetic:{path}", device="cpu").fingerprint()
    assert mine.fingerprint() != load_language_model(f"synthetic:{path}", device="cpu", dtype="bfloat16").fingerprint()
    path.write_text("n_features: 50\nwidth: 16\n")
    with pytest.raises(UsageError, match=r"width|d_model"):
        load_language_model(f"synthetic:{path}", device="cpu")
    with pytest.raises(UnknownNameError, match="'small'"):
        load_language_model("synthetic:smal", device="cpu")
    with pytest.raises(ModelError, match="synthetic_model_config"):
        load_language_model(f"synthetic:{tmp_path}", device="cpu")


def test_published_files_are_read_from_the_mirror(tmp_path: Path) -> None:
    made = make_features(tiny_parameters())
    folder = tmp_path / "decoderesearch" / "synth-sae-bench-16k-v1"
    folder.mkdir(parents=True)
    magnitudes = {
        "mean_firing_magnitudes": {"generator_name": "linear", "start": 5.0, "end": 4.0},
        "std_firing_magnitudes": {"generator_name": "folded_normal", "mean": 0.5, "std": 0.5},
    }
    (folder / "synthetic_model_config.json").write_text(json.dumps({"seed": 42, **magnitudes}))
    save_file(
        {
            "feature_vectors": made.directions_GD,
            "bias": made.bias_D,
            "firing_probabilities": made.probability_G,
            "correlation_factor": made.causes_GR,
            "correlation_diag": made.own_G.pow(2),
        },
        folder / "synthetic_model.safetensors",
    )

    def node(of) -> dict:
        return {
            "feature_index": of.feature,
            "mutually_exclusive_children": of.exclusive,
            "scale_children_by_parent": of.scales,
            "feature_id": None,
            "children": [node(child) for child in of.children],
        }

    (folder / "hierarchy.json").write_text(json.dumps({"roots": [node(root) for root in made.hierarchy.roots]}))
    read = load_language_model("synthetic:16k", device="cpu", data_dir=tmp_path)
    assert isinstance(read, SyntheticModel)
    for name, value in made.tensors().items():
        torch.testing.assert_close(read.features.tensors()[name], value, msg=name)
    same = [draw_activity(f, 200, torch.Generator().manual_seed(3)).toarray() for f in (made, read.features)]
    np.testing.assert_allclose(*same, atol=1e-5)
    (folder / "hierarchy.json").write_text("{}")
    with pytest.raises(ModelError, match=r"hierarchy\.json"):
        load_language_model("synthetic:16k", device="cpu", data_dir=tmp_path)


def test_nodes_without_a_feature_hold_children_together() -> None:
    from sae_bench.language_models.synthetic.trees import Hierarchy, Node

    held = Node(None, [Node(0), Node(1)], exclusive=True)
    values_GB = torch.ones(3, 200)
    Hierarchy([held]).apply_(values_GB, torch.ones(3), torch.Generator().manual_seed(0))
    assert (values_GB[:2].sum(dim=0) == 1).all()
    assert 60 < values_GB[0].sum() < 140
    assert (values_GB[2] == 1).all()


def test_what_is_not_there_is_refused(lm: SyntheticModel) -> None:
    with pytest.raises(HookError, match=r"blocks\.1\.hook_resid_post"):
        lm.capture(torch.zeros(1, 1, dtype=torch.long), ["blocks.0.hook_resid_post"])
    with pytest.raises(UsageError, match="not words"):
        lm.tokenize(["the cat"])
    with pytest.raises(UsageError, match="predicts no tokens"):
        lm.unembed(torch.zeros(1, 32))
    with pytest.raises(UsageError, match="no layers after"):
        lm.final_hidden(torch.zeros(1, 1, dtype=torch.long))
    assert lm.tokenize(lm.texts([3, 9])) == [[3], [9]]
