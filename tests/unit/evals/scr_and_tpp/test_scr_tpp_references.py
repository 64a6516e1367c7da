"""Floor, ceiling and control of scr and tpp: nothing ablated, directions of the labels, random latents."""

from dataclasses import replace

import pytest
import torch
from scr_tpp_planted import (
    ORACLE,
    PERMUTED,
    D,
    Dictionary,
)

from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import all_shifts
from sae_bench.evals.scr_and_tpp.references import (
    BOTH,
    DIFFERENCE,
    PROBE,
    best_first,
    control_shifts,
    references_of,
    supervised_directions,
    supervised_shifts,
)
from sae_bench.evals.scr_and_tpp.text_samples import scr_samples, tpp_samples
from sae_bench.results.references import describe_references


def test_no_ablation_scores_zero_on_every_text(prepared_scr, prepared_tpp):
    for (x_TD, prepared), score, samples in (
        (prepared_scr, scr.score_scr, lambda results, ids: scr_samples(results, [1], ids)),
        (prepared_tpp, tpp.score_tpp, tpp_samples),
    ):
        nothing = [torch.zeros(1, len(a.evaluated), len(a.test_rows)) for a in prepared.ablations]
        results = score(prepared, nothing, [1])
        (of_metric,) = samples(results, torch.arange(len(x_TD))).values()
        assert not of_metric.values_SU.any()


@pytest.mark.parametrize("which", ["prepared_scr", "prepared_tpp"])
def test_a_supervised_direction_is_taken_out_of_every_text(which, request):
    """The logits move as those of texts that were changed by hand."""
    x_TD, prepared = request.getfixturevalue(which)
    shifts = supervised_shifts(x_TD, prepared.probes, prepared.ablations)
    ablation = prepared.ablations[1]
    means = [x_TD[rows].mean(dim=0) for rows in (ablation.contrast.positive_rows, ablation.contrast.negative_rows)]
    probe_D, difference_D = prepared.probes.weights_PF[ablation.probe], means[0] - means[1]
    x_UD, level_D = x_TD[ablation.test_rows], (means[0] + means[1]) / 2
    directions = {PROBE: (probe_D, probe_D), DIFFERENCE: (difference_D, difference_D), BOTH: (probe_D, difference_D)}
    assert directions.keys() == shifts.keys()
    for name, (read_D, written_D) in directions.items():
        edited_UD = x_UD - torch.outer((x_UD - level_D) @ read_D / (read_D @ written_D), written_D)
        assert ((edited_UD - level_D) @ read_D).abs().max() < 1e-4  # nothing is left to read
        weights_JD = prepared.probes.weights_PF[list(ablation.evaluated)]
        torch.testing.assert_close(shifts[name][1][0], weights_JD @ (edited_UD - x_UD).T, atol=1e-4, rtol=1e-4)


def first_seed(prepared):
    """What belongs to the first of two seeds; there is one pair or data set."""
    half = len(prepared.ablations) // 2
    rows = {
        name: getattr(prepared, name)[:half] for name in ("ablations", "base_AU", "clean_AU") if hasattr(prepared, name)
    }
    return replace(prepared, seeds=prepared.seeds[:1], **rows)


class Supervised(Dictionary):
    """One latent per ablation: how much of a supervised direction a text has, and the direction; the rest is noise."""

    def __init__(self, x_TD, prepared, name):
        of_all = [supervised_directions(x_TD, prepared.probes, a)[name] for a in prepared.ablations]
        self.read_DK, self.levels_KD = (
            torch.stack([d.read_D for d in of_all], dim=1).float(),
            [d.level_D for d in of_all],
        )
        noise_FD = 0.05 * torch.randn(len(of_all), D, generator=torch.Generator().manual_seed(3))
        super().__init__(torch.cat([torch.stack([d.written_D for d in of_all]).float(), noise_FD]))

    def encode(self, x):
        codes = [(x - level_D.float()) @ self.read_DK[:, k] for k, level_D in enumerate(self.levels_KD)]
        return torch.cat([torch.stack(codes, dim=-1), x[..., : len(codes)]], dim=-1)


def described(score, samples, path, ids_T, fixture, sae, source, sizes=(1,)):
    """References of one metric on planted data."""
    x_TD, prepared = fixture
    codes = sae.codes(x_TD)
    arguments = (sae, codes, prepared.probes, prepared.ablations)
    shifts, latents = all_shifts(*arguments, sizes, source)
    control, reasons = control_shifts(*arguments, latents, sizes)

    def of(shifts, sizes=sizes):
        return samples(score(prepared, shifts, sizes), sizes, ids_T)

    directions = supervised_shifts(x_TD, prepared.probes, prepared.ablations)
    of_one = path.format(1)
    ranked = best_first({name: of(of_name, [1])[of_one] for name, of_name in directions.items()})
    paths = {n: path.format(n) for n in sizes}
    return describe_references(references_of(paths, ranked, of(control), reasons), of(shifts), {})


def described_scr(prepared_scr, sae, source, sizes=(1,)):
    ids_T = torch.arange(len(prepared_scr[0]))
    path = "scr_metrics.scr_metric_threshold_{}"
    return described(scr.score_scr, scr_samples, path, ids_T, prepared_scr, sae, source, sizes)


def described_tpp(prepared_tpp, sae, source, sizes=(1,)):
    ids_T = torch.arange(len(prepared_tpp[0]))
    path = "tpp_metrics.tpp_threshold_{}_total_metric"

    def samples(results, _, ids_T):
        return tpp_samples(results, ids_T)

    return described(tpp.score_tpp, samples, path, ids_T, prepared_tpp, sae, source, sizes)


@pytest.mark.parametrize("which", ["prepared_scr", "prepared_tpp"])
def test_an_oracle_is_at_its_ceiling_and_random_latents_are_at_the_floor(which, request, source):
    fixture = request.getfixturevalue(which)
    described_eval = described_scr if which == "prepared_scr" else described_tpp
    (oracle,) = described_eval(fixture, ORACLE, source).values()
    assert oracle.floor.value == 0.0
    assert oracle.ceiling.value >= max(other.value for other in oracle.others)
    assert oracle.control.value == pytest.approx(0.0, abs=0.05)  # noise channels
    score = oracle.above_floor.value * oracle.ceiling.value
    assert oracle.score_minus_control.value == pytest.approx(score - oracle.control.value, abs=1e-5)
    assert oracle.score_minus_control.value > 0.2
    (permuted,) = described_eval(fixture, PERMUTED, source).values()
    assert permuted.above_floor.value < 0.3 < oracle.above_floor.value
    best = oracle.ceiling.name.removeprefix("ablating ")
    one_seed = fixture[0], first_seed(fixture[1])
    (supervised,) = described_eval(one_seed, Supervised(*one_seed, best), source).values()
    assert supervised.above_floor.value == pytest.approx(1.0, abs=1e-6)


def test_a_control_takes_as_many_of_those_that_are_left(prepared_tpp, source):
    """Of 24 latents, 12 leave 12 others and 13 leave 11."""
    x_TD, prepared = prepared_tpp
    arguments = (ORACLE, ORACLE.codes(x_TD), prepared.probes, prepared.ablations)
    _, latents = all_shifts(*arguments, [24], source)
    n = max(map(len, latents))
    assert n > 12  # more than half have an effect
    shifts, reasons = control_shifts(*arguments, latents, [1, 12, 13])
    assert list(reasons) == [13]
    assert "13 latents that are ablated, only 11" in reasons[13]
    for ablation, latents_K, shift_NJU in zip(prepared.ablations, latents, shifts, strict=True):
        if len(latents_K) < 12:
            continue
        rest_K = torch.tensor([f for f in range(D) if f not in latents_K[:12].tolist()])
        weights_JD = prepared.probes.weights_PF[list(ablation.evaluated)]
        expected_JU = -weights_JD[:, rest_K] @ x_TD[ablation.test_rows][:, rest_K].T
        torch.testing.assert_close(shift_NJU[1], expected_JU, atol=1e-4, rtol=1e-4)
    described_all = described_tpp(prepared_tpp, ORACLE, source, sizes=(1, 13))
    of_13 = described_all["tpp_metrics.tpp_threshold_13_total_metric"]
    assert of_13.control.value is None
    assert of_13.control.reason == of_13.score_minus_control.reason == reasons[13]
