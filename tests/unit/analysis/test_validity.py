"""Verdicts on metrics whose worth is known, from results of a panel that does not exist."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from pathlib import Path

import pytest

from sae_bench.analysis.panel_evidence import chance_of_order
from sae_bench.analysis.table import load_results
from sae_bench.analysis.validity import Evidence as VerdictEvidence
from sae_bench.analysis.validity import MetricVerdict, Validation, decide, read_validity, validate
from sae_bench.analysis.validity_model import AgainstNull, FloorEvidence, LadderEvidence, NullEvidence, TruthEvidence
from sae_bench.testing.simulated_samples import Design
from sae_bench.testing.synthetic_panel import (
    PanelSAE,
    Response,
    follows,
    panel_saes,
    reads_the_decoder,
    reads_the_encoder,
    saturates,
    write_panel,
)

RANKS, SEPARATES, INVALID, TOO_LITTLE = (
    "ranks SAEs here",
    "separates good from bad only",
    "not valid here",
    "too little evidence",
)
KNOWN = {
    # metric: how it follows quality, and the verdict that it deserves
    "follows quality": (follows(0.5), RANKS),
    "reads the encoder": (reads_the_encoder(0.5), RANKS),
    "reads the decoder": (reads_the_decoder(0.5), RANKS),
    "saturates": (saturates(0.4), SEPARATES),
    "says nothing": (follows(0.0), INVALID),
    "stands on its head": (follows(-0.3, start=0.6), INVALID),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MetricVerdict]:
    found: list[MetricVerdict] = []
    responses = [response for response, _ in KNOWN.values()]
    for half in (responses[:3], responses[3:]):  # an eval has five metrics at most
        folder = tmp_path_factory.mktemp("panel")
        write_panel(folder, half)
        found += validate(folder).metrics
    return dict(zip(KNOWN, found, strict=True))


@pytest.mark.parametrize("name", KNOWN)
def test_metrics_of_known_worth(verdicts: dict[str, MetricVerdict], name: str):
    found = verdicts[name]
    assert found.verdict == KNOWN[name][1], found.sentence
    assert found.same_in_halves
    assert found.n_trained == 5
    assert found.seconds_per_sae == 2.5
    assert found.seconds_shared == 100.0


def test_what_a_verdict_rests_on(verdicts: dict[str, MetricVerdict]):
    good = verdicts["follows quality"]
    assert (good.nulls.n_pairs, good.nulls.n_better, good.nulls.n_significant, good.nulls.n_worse) == (20, 20, 20, 0)
    assert sorted(good.nulls.by_null) == ["frozen_encoder", "permuted_decoder", "random", "random_l0_matched"]
    assert {(one.n_pairs, one.n_better, one.n_worse) for one in good.nulls.by_null.values()} == {(5, 5, 0)}
    assert good.nulls.lowest_z is not None
    assert good.nulls.lowest_z > 3
    assert (good.ladders.n_ladders, good.ladders.n_neighbours) == (4, 16)  # levels 0.1 to 1 and the SAE itself
    assert good.ladders.n_right == 16
    assert good.ladders.concordance == 1.0
    assert good.noise.n_seeds == 6
    assert good.noise.unit == "test text"
    assert good.noise.cv is not None
    assert 0.002 < good.noise.cv < 0.05
    assert good.detectable is not None
    assert 0.005 < good.detectable < 0.1
    assert good.truth.reason == "no synthetic model was evaluated"


def test_a_metric_that_reads_no_decoder_is_not_held_against_damage_to_it(verdicts: dict[str, MetricVerdict]):
    found = verdicts["reads the encoder"]
    assert found.nulls.blind == ["permuted_decoder"]
    assert found.nulls.n_pairs == 15
    assert (found.ladders.n_ladders, found.ladders.n_blind) == (2, 2)
    assert verdicts["follows quality"].nulls.blind == []
    weights_alone = verdicts["reads the decoder"]
    assert (weights_alone.ladders.n_ladders, weights_alone.ladders.n_blind, weights_alone.nulls.blind) == (2, 2, [])


def test_a_null_that_beats_trained_saes_is_named(verdicts: dict[str, MetricVerdict]):
    found = verdicts["stands on its head"]
    assert found.nulls.n_better == 0
    assert found.nulls.n_worse == 20
    assert "against baseline:" in found.sentence


@pytest.mark.parametrize(
    ("n_better", "n_worse", "verdict"),
    [(7, 0, RANKS), (6, 1, RANKS), (5, 0, INVALID), (6, 2, INVALID), (3, 0, INVALID)],
)
def test_nulls_that_are_easy_to_beat_do_not_outvote_a_hard_one(n_better: int, n_worse: int, verdict: str):
    """28 comparisons with four kinds, of which one may do as well as trained SAEs."""
    easy = {name: AgainstNull(n_pairs=7, n_better=7, n_worse=0, median_z=9.0) for name in ("a", "b", "c")}
    by_null = easy | {"random": AgainstNull(n_pairs=7, n_better=n_better, n_worse=n_worse, median_z=0.5)}
    nulls = NullEvidence(
        n_pairs=28, n_better=21 + n_better, n_worse=n_worse, median_z=9.0, detectable=0.01, by_null=by_null
    )
    ladders = LadderEvidence(n_ladders=2, n_pairs=20, n_neighbours=8, n_right=8, concordance=1.0)
    found, why = decide(VerdictEvidence(nulls, ladders, scale=1.0))
    assert found == verdict
    assert ("against baseline:random alone" in why) == (verdict == INVALID)


def test_the_kind_of_null_that_wins_is_the_one_that_is_named():
    """Two SAEs alone are too few to win most of; that both lose significantly counts all the same."""
    by_null = {
        "frozen_encoder": AgainstNull(n_pairs=20, n_better=15, n_worse=0, median_z=3.0),
        "random": AgainstNull(n_pairs=2, n_better=0, n_worse=2, median_z=-9.0),
    }
    nulls = NullEvidence(n_pairs=22, n_better=17, n_worse=2, median_z=3.0, detectable=0.01, by_null=by_null)
    found, why = decide(VerdictEvidence(nulls, LadderEvidence(), scale=1.0))
    assert found == INVALID
    assert "against baseline:random alone 0 of 2 (2 significantly lost)" in why


def test_what_is_not_there_is_not_claimed(tmp_path: Path):
    saes = panel_saes()
    good = [follows(0.5)]
    kinds = {
        "trained": [s for s in saes if s.release == "synthetic"],
        "with nulls": [s for s in saes if "ladder" not in s.config],
        "with ladders": [s for s in saes if s.release == "synthetic" or "ladder" in s.config],
    }
    found: dict[str, MetricVerdict] = {}
    for name, chosen in kinds.items():
        write_panel(tmp_path / name, good, saes=chosen)
        (found[name],) = validate(tmp_path / name).metrics
    assert found["trained"].verdict == TOO_LITTLE
    assert "no null baseline" in found["trained"].sentence
    assert found["with nulls"].verdict == SEPARATES
    assert "no ladder" in found["with nulls"].sentence
    assert found["with ladders"].verdict == TOO_LITTLE
    assert "right order" in found["with ladders"].sentence


def test_snapshots_of_a_training_run_are_a_ladder_whose_last_rung_counts_as_trained(tmp_path: Path):
    def snapshot(n: int) -> PanelSAE:
        rung = {"ladder": "run", "by": "training_tokens", "value": 1000 * n, "better": "higher"}
        return PanelSAE("synthetic", f"step_{n}", 0.15 * n, 0.15 * n, {"ladder": rung})

    nulls = [PanelSAE("baseline", name, 0.0, 0.0) for name in ("random", "zero")]
    write_panel(tmp_path, [follows(0.5), follows(-0.3, start=0.6)], saes=[*map(snapshot, range(1, 7)), *nulls])
    up, down = validate(tmp_path).metrics
    assert (up.n_trained, up.nulls.n_pairs, up.ladders.n_ladders) == (1, 2, 1)
    assert (up.ladders.n_right, up.ladders.n_neighbours, up.ladders.concordance) == (5, 5, 1.0)
    assert down.ladders.n_right == 0
    assert down.verdict == INVALID
    assert "stands on its head" in down.sentence


def test_a_run_without_power_refutes_nothing(tmp_path: Path):
    write_panel(tmp_path, [follows(0.05)], design=Design(n_seeds=2, n_units=8, seed=0.3, text=0.3), seeds=(1, 2))
    (found,) = validate(tmp_path).metrics
    assert found.verdict == TOO_LITTLE
    assert "no difference within the metric's range would show" in found.sentence
    assert found.same_in_halves is None


def test_one_seed_has_no_error_bar_and_no_verdict(tmp_path: Path):
    write_panel(tmp_path, [follows(0.5)], design=Design(n_seeds=1, n_units=40), seeds=(1,))
    (found,) = validate(tmp_path).metrics
    assert found.verdict == TOO_LITTLE
    assert "one seed" in found.sentence


def test_the_chance_of_an_order_is_that_of_all_orders():
    def right(order: tuple[int, ...]) -> int:
        return sum(a < b for a, b in combinations(order, 2))

    both = [right(a) + right(b) for a in permutations(range(4)) for b in permutations(range(3))]
    for n in range(10):
        assert chance_of_order([4, 3], float(n)) == pytest.approx(sum(total >= n for total in both) / len(both))
    assert chance_of_order([3], 2.5) == chance_of_order([3], 2.0)  # a tie is not in order


@pytest.mark.parametrize(("lengths", "verdict"), [([3], SEPARATES), ([3, 3], RANKS), ([5], RANKS)])
def test_a_few_rungs_that_may_stand_in_order_by_chance_do_not_rank_saes(lengths: list[int], verdict: str):
    nulls = NullEvidence(n_pairs=10, n_better=10, n_significant=10, median_z=9.0)
    n = sum(length * (length - 1) // 2 for length in lengths)
    in_order = LadderEvidence(n_pairs=n, concordance=1.0, p_right=chance_of_order(lengths, float(n)), p_wrong=1.0)
    assert decide(VerdictEvidence(nulls, in_order))[0] == verdict
    head_first = LadderEvidence(n_pairs=n, concordance=0.0, p_right=1.0, p_wrong=chance_of_order(lengths, float(n)))
    expected = SEPARATES if verdict == SEPARATES else INVALID
    assert decide(VerdictEvidence(nulls, head_first))[0] == expected


def test_a_difference_that_a_metric_cannot_have_is_not_named():
    nulls = NullEvidence(n_pairs=9, n_better=4, median_z=0.3, detectable=1.2)
    assert "no difference within the metric's range" in decide(VerdictEvidence(nulls, LadderEvidence(), scale=1.0))[1]
    assert "only differences above 1.2" in decide(VerdictEvidence(nulls, LadderEvidence(), scale=2.0))[1]


def test_floors_stand_in_for_nulls():
    above, below = FloorEvidence(n_with_interval=7, n_above=7), FloorEvidence(n_with_interval=7, n_above=2)
    assert decide(VerdictEvidence(NullEvidence(), LadderEvidence(), above))[0] == SEPARATES
    assert decide(VerdictEvidence(NullEvidence(), LadderEvidence(), below))[0] == INVALID


def test_a_metric_against_the_truth_is_not_valid_whatever_else_it_does():
    nulls = NullEvidence(n_pairs=10, n_better=10, n_significant=10, median_z=9.0)
    ladders = LadderEvidence(n_ladders=2, n_pairs=20, n_neighbours=8, n_right=8, concordance=1.0)
    against = TruthEvidence(n_saes=20, mcc=-0.7, f1=-0.6, p_mcc=0.001, p_f1=0.01)
    assert decide(VerdictEvidence(nulls, ladders))[0] == RANKS
    verdict, why = decide(VerdictEvidence(nulls, ladders, truth=against))
    assert verdict == INVALID
    assert "true features" in why


def test_truth_and_metric_are_joined_by_sae_and_model(tmp_path: Path):
    write_panel(tmp_path, [follows(0.5), follows(-0.3, start=0.6)])
    saes = [sae for sae in panel_saes() if sae.sae_id != "sae_0"]
    for path in write_panel(tmp_path / "truth", [follows(0.6), follows(0.6)], saes=saes, random_seed=1):
        content = json.loads(path.read_text())
        mcc, f1 = list(content["eval_result_metrics"]["sae"].values())
        truth = {"eval_type_id": "ground_truth", "eval_result_metrics": {"recovery": {"mcc": mcc, "f1": f1}}}
        path.write_text(json.dumps(content | truth | {"seed_results": [], "statistics": {}}))
    up, down = [one for one in validate(tmp_path).metrics if one.eval == "sparse_probing"]
    write_panel(tmp_path / "alone", [follows(0.5)])
    (alone,) = validate(tmp_path / "alone", truth=tmp_path).metrics
    assert alone.truth == up.truth
    assert up.truth.n_saes == len(saes) - 1  # nor the ideal one
    assert up.truth.mcc is not None
    assert up.truth.mcc > 0.8
    assert down.truth.is_against
    assert down.verdict == INVALID


def test_verdicts_are_written_and_read(tmp_path: Path):
    write_panel(tmp_path, [follows(0.5)])
    assert read_validity(tmp_path) is None
    validation = validate(tmp_path)
    (tmp_path / "validity.json").write_text(validation.model_dump_json())
    assert read_validity(tmp_path) == Validation.model_validate(validation.model_dump())
    assert not load_results(tmp_path).skipped


@pytest.mark.slow
def test_verdicts_are_the_same_for_disjoint_halves_of_the_seeds(tmp_path: Path):
    """Metrics from useless to excellent, with little and much noise of seeds."""
    slopes = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
    responses: list[list[Response]] = [
        [follows(slope), reads_the_encoder(slope), saturates(slope), follows(-slope, start=0.6)] for slope in slopes
    ]
    same: list[bool] = []
    for n, of_panel in enumerate(responses):
        design = Design(n_seeds=8, n_units=120, text=0.12, cell=0.08, seed=(0.005, 0.03)[n % 2])
        write_panel(tmp_path / str(n), of_panel, seeds=range(8), design=design, random_seed=n)
        same += [bool(one.same_in_halves) for one in validate(tmp_path / str(n)).metrics]
    assert len(same) == 24
    assert sum(same) >= 0.9 * len(same), f"{sum(same)} of {len(same)}"
