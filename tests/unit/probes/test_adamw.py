"""Vectorised AdamW probes against one-at-a-time training with torch.optim.AdamW."""

import copy

import pytest
import torch
from torch import nn

from sae_bench.errors import UsageError
from sae_bench.probes import AdamWSettings, DenseFeatures, ProbeProblem, train_adamw_probes
from sae_bench.probes.adamw import initial_probe
from sae_bench.seeding import named_generator

T, F = 300, 12


@pytest.fixture(scope="module")
def features():
    generator = torch.Generator().manual_seed(0)
    return DenseFeatures(torch.relu(torch.randn(T, F, generator=generator)))


def problem(features, seed, n_train=97, n_test=40):
    """A noisy task on rows of its own choice, with a last batch that is not full."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(T, generator=generator)
    score_T = features.x_TF @ torch.randn(F, generator=generator) + 2 * torch.randn(T, generator=generator)
    labels = (score_T > score_T.median()).long()
    train, test = rows[:n_train], rows[n_train : n_train + n_test]
    return ProbeProblem(("task", seed), train, labels[train], test, labels[test])


def plain_loop(features, task, settings):
    """The recipe with torch's own module, loss and optimiser; initialisation and batches from the task's generator."""
    generator = named_generator(*task.name)
    train_rows, train_labels = task.train_rows, task.train_labels.float()
    select_rows, select_labels = task.test_rows, task.test_labels
    if settings.selection == "validation":
        order = torch.randperm(len(train_rows), generator=generator)
        n = round(0.1 * len(train_rows))
        select_rows, select_labels = train_rows[order[:n]], train_labels[order[:n]]
        train_rows, train_labels = train_rows[order[n:]], train_labels[order[n:]]
    probe = nn.Linear(F, 1)
    weights, bias = initial_probe(F, generator)
    probe.weight.data[0], probe.bias.data[0] = weights, bias
    optimiser = torch.optim.AdamW(probe.parameters(), lr=settings.lr)

    def accuracy(model, rows, labels):
        with torch.no_grad():
            return ((model(features.x_TF[rows])[:, 0] > 0) == (labels > 0)).double().mean().item()

    best, best_accuracy, waited, history = None, -1.0, 0, []
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(train_rows), generator=generator).split(settings.batch_size):
            logits = probe(features.x_TF[train_rows[batch]])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, train_labels[batch])
            if settings.l1_penalty:
                loss = loss + settings.l1_penalty * probe.weight.abs().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        history.append(accuracy(probe, select_rows, select_labels))
        if history[-1] > best_accuracy:
            best, best_accuracy, waited = copy.deepcopy(probe), history[-1], 0
        else:
            waited += 1
        if waited >= settings.patience:
            break
    return best, accuracy(best, task.test_rows, task.test_labels), history


SETTINGS = {
    "published": AdamWSettings(batch_size=25, epochs=60),
    "l1": AdamWSettings(batch_size=25, epochs=12, l1_penalty=0.02),
    "validation": AdamWSettings(batch_size=16, epochs=30, selection="validation"),
    "patience 2": AdamWSettings(batch_size=40, epochs=30, patience=2),
    "one epoch": AdamWSettings(batch_size=250, epochs=1),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("batched", [False, True])
def test_weights_are_those_of_torch_adamw(features, name, batched, monkeypatch):
    settings = SETTINGS[name]
    n_problems = 3 if batched else 1
    monkeypatch.setattr("sae_bench.probes.adamw.ELEMENTS_AT_ONCE_ON_CPU", n_problems * settings.batch_size * F)
    tasks = [problem(features, seed) for seed in range(8)]
    probes = train_adamw_probes(features, tasks, settings=settings)
    for p, task in enumerate(tasks):
        expected, test_accuracy, history = plain_loop(features, task, settings)
        torch.testing.assert_close(probes.weights_PF[p], expected.weight.data[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(probes.bias_P[p], expected.bias.data[0], atol=1e-5, rtol=1e-5)
        assert probes.test_accuracy_P[p].item() == pytest.approx(test_accuracy)
        assert probes.selection_accuracy_P[p].item() == pytest.approx(max(history))
        assert probes.best_epoch_P[p] == history.index(max(history))
        assert probes.epochs_run_P[p] == len(history)


def test_problems_stop_at_different_epochs_here(features):
    probes = train_adamw_probes(features, [problem(features, s) for s in range(8)], settings=SETTINGS["published"])
    assert len(set(probes.epochs_run_P.tolist())) > 3
    assert int(probes.epochs_run_P.max()) <= 60


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_problem_does_not_depend_on_its_company(features, at_once, monkeypatch):
    monkeypatch.setattr(
        "sae_bench.probes.adamw.ELEMENTS_AT_ONCE_ON_CPU", at_once * SETTINGS["published"].batch_size * F
    )
    tasks = [
        problem(features, 0),
        problem(features, 1, n_train=60),
        problem(features, 2),
        problem(features, 3, n_test=9),
    ]
    together = train_adamw_probes(features, tasks, settings=SETTINGS["published"])
    for p, task in enumerate(tasks):
        alone = train_adamw_probes(features, [task], settings=SETTINGS["published"])
        torch.testing.assert_close(together.weights_PF[p], alone.weights_PF[0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(together.bias_P[p], alone.bias_P[0], atol=1e-6, rtol=1e-6)
        assert together.test_accuracy_P[p] == alone.test_accuracy_P[0]
        assert together.epochs_run_P[p] == alone.epochs_run_P[0]


def test_small_gathers_do_not_change_the_result(features, monkeypatch):
    tasks = [problem(features, seed) for seed in range(3)]
    whole = train_adamw_probes(features, tasks, settings=SETTINGS["l1"])
    monkeypatch.setattr("sae_bench.probes.adamw.GATHER_ELEMENTS", 7 * F)
    torch.testing.assert_close(
        train_adamw_probes(features, tasks, settings=SETTINGS["l1"]).weights_PF, whole.weights_PF
    )


def test_selection_on_the_test_set_flatters_random_labels():
    generator = torch.Generator().manual_seed(3)
    noise = DenseFeatures(torch.randn(400, 30, generator=generator))
    labels = torch.randint(0, 2, (400,), generator=generator)
    tasks = []
    for seed in range(12):
        rows = torch.randperm(400, generator=generator)
        tasks.append(ProbeProblem((seed,), rows[:300], labels[rows[:300]], rows[300:], labels[rows[300:]]))
    accuracy = {
        selection: train_adamw_probes(noise, tasks, settings=AdamWSettings(selection=selection)).test_accuracy_P.mean()
        for selection in ("test", "validation")
    }
    assert accuracy["test"] > accuracy["validation"] + 0.02
    assert abs(accuracy["validation"] - 0.5) < 0.04


def test_names_decide_the_draws(features):
    task = problem(features, 0)
    other = ProbeProblem(("other",), task.train_rows, task.train_labels, task.test_rows, task.test_labels)
    probes = train_adamw_probes(features, [task, other, task], settings=SETTINGS["one epoch"])
    assert torch.equal(probes.weights_PF[0], probes.weights_PF[2])
    assert not torch.allclose(probes.weights_PF[0], probes.weights_PF[1])


def test_initial_weights_follow_torchs_linear():
    weights, bias = initial_probe(10_000, named_generator("init"))
    bound = 0.01
    assert weights.abs().max() <= bound
    assert bias.abs() <= bound
    assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_global_state_and_inputs_stay_as_they_were(features):
    before, state, grad = features.x_TF.clone(), torch.get_rng_state(), torch.is_grad_enabled()
    train_adamw_probes(features, [problem(features, 0)], settings=SETTINGS["one epoch"])
    assert torch.equal(features.x_TF, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == grad


def test_unusable_problems_are_refused(features):
    task = problem(features, 0)
    with pytest.raises(UsageError, match="empty"):
        train_adamw_probes(features, [])
    with pytest.raises(UsageError, match="training set has 0 rows"):
        train_adamw_probes(
            features, [ProbeProblem(("x",), *[torch.zeros(0).long()] * 2, task.test_rows, task.test_labels)]
        )
    with pytest.raises(UsageError, match="only 0 and 1"):
        train_adamw_probes(
            features, [ProbeProblem(("x",), task.train_rows, task.train_labels, task.test_rows, task.test_labels + 1)]
        )
    with pytest.raises(UsageError, match="leave nothing"):
        train_adamw_probes(
            features,
            [ProbeProblem(("x",), *[torch.tensor([0, 1])] * 2, task.test_rows, task.test_labels)],
            settings=AdamWSettings(selection="validation"),
        )
