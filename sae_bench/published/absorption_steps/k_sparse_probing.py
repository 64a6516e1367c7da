"""Sparse letter probes on an SAE's codes step by step, under their published names.

N words, D width, F latents, K latents of a probe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot
from tqdm.auto import tqdm

from sae_bench.evals.absorption.sparse_probes import f1_scores, merge_inactive
from sae_bench.evals.autointerp.ranking import area_under_curve
from sae_bench.probes import fit_logistic
from sae_bench.published.absorption_steps import files
from sae_bench.published.absorption_steps.batches import batchify
from sae_bench.published.absorption_steps.probing import LinearProbe, train_multi_probe
from sae_bench.published.absorption_vocab import LETTERS

EPS = 1e-6
"""Sums of codes above this count as active."""
SPARSE_PROBING_EXPERIMENT_NAME = "k_sparse_probing"


class KSparseProbe(nn.Module):
    """A logistic regression on a few latents.

    Args:
        weight: (K,)
        bias: a scalar.
        feature_ids: the latents, (K,).
    """

    def __init__(self, weight: Float[Tensor, " K"], bias: Tensor, feature_ids: Int[Tensor, " K"]) -> None:
        super().__init__()
        self.weight, self.bias, self.feature_ids = weight, bias, feature_ids

    @property
    def k(self) -> int:
        """Number of latents."""
        return len(self.feature_ids)

    def forward(self, x: Float[Tensor, "*N F"]) -> Float[Tensor, "*N"]:
        """Logits from the codes of all latents."""
        return x[..., self.feature_ids] @ self.weight + self.bias


Probes = Mapping[int, Mapping[int, KSparseProbe]]
"""k -> letter, as place in the alphabet -> probe."""


def train_sparse_multi_probe(
    x_train: Float[Tensor, "N X"], y_train: Tensor, device: torch.device, l1_decay: float = 0.01,
    num_probes: int | None = None, batch_size: int = 4096, num_epochs: int = 50, lr: float = 0.01,
    end_lr: float = 1e-5, l2_decay: float = 1e-6, show_progress: bool = True, verbose: bool = False,
    map_acts: Callable[[Tensor], Tensor] | None = None, probe_dim: int | None = None,
) -> LinearProbe:  # fmt: skip
    """`train_multi_probe` with `l1_decay` times the sum of |w| of a class, averaged over classes, in the loss.

    Args:
        l2_decay: `weight_decay` there; the other arguments are the same.
    """

    def sparsity(probe: LinearProbe, _inputs: Tensor, _labels: Tensor) -> Tensor:
        return l1_decay * probe.weights.abs().sum(dim=1).mean()

    return train_multi_probe(
        x_train, y_train, num_probes, batch_size, num_epochs, lr, end_lr, l2_decay, show_progress, "Adam", sparsity,
        verbose, device, map_acts, probe_dim,
    )  # fmt: skip


@torch.no_grad()
def _get_sae_acts(
    sae: Any, input_activations: Float[Tensor, "N D"], batch_size: int = 4096,
    sparse_feat_ids: Int[Tensor, " K"] | None = None,
) -> Float[Tensor, "N F"]:  # fmt: skip
    """Codes on the CPU, of the given latents or of all."""
    parts = []
    for x_BD in batchify(input_activations, batch_size):
        codes_BF = sae.encode(x_BD.to(sae.W_dec))
        parts.append((codes_BF if sparse_feat_ids is None else codes_BF[:, sparse_feat_ids]).cpu())
    return torch.cat(parts)


def train_k_sparse_probes(
    sae: Any, train_labels: Sequence[tuple[str, int]], train_activations: Float[Tensor, "N D"], ks: Sequence[int],
    l1_decay: float = 0.01, batch_size: int = 4096, num_epochs: int = 50, precalc_sae_acts: bool = False,
) -> dict[int, dict[int, KSparseProbe]]:  # fmt: skip
    """k -> letter -> a balanced logistic regression on the k latents that the letter's L1 probe weighs most.

    Args:
        train_labels: words with their letters.
        ks: numbers of latents.
        l1_decay, batch_size, num_epochs: of the L1 probe.
        precalc_sae_acts: whether all words are encoded once, at 4 bytes per word and latent, or anew in every epoch.
    """
    x_ND = train_activations.to(sae.W_dec)
    labels_N = torch.tensor([label for _, label in train_labels])
    ranking = train_sparse_multi_probe(
        _get_sae_acts(sae, x_ND, batch_size) if precalc_sae_acts else x_ND,
        one_hot(labels_N),
        sae.W_dec.device,
        l1_decay,
        batch_size=batch_size,
        num_epochs=num_epochs,
        map_acts=None if precalc_sae_acts else lambda x_BD: _get_sae_acts(sae, x_BD),
        probe_dim=len(sae.W_dec),
    )
    letters = labels_N.unique().tolist()
    top_CK = ranking.weights.detach().float().cpu().topk(max(ks), dim=1).indices
    codes = {letter: _get_sae_acts(sae, x_ND, batch_size, top_CK[letter]).float() for letter in letters}
    return {
        k: {letter: _regression(codes[letter][:, :k], labels_N == letter, top_CK[letter, :k]) for letter in letters}
        for k in tqdm(ks, desc="sparse probes")
    }


def _regression(codes_NK: Float[Tensor, "N K"], is_letter_N: Tensor, latents_K: Int[Tensor, " K"]) -> KSparseProbe:
    samples_AK, labels_A, weight_A = merge_inactive(codes_NK, is_letter_N)
    fit = fit_logistic(samples_AK[None], labels_A[None], weight_A[None] > 0, sample_weight_PN=weight_A[None])
    return KSparseProbe(fit.weights_PK[0].float(), fit.bias_P[0].float(), latents_K)


# ---- tables


@torch.no_grad()
def sae_k_sparse_metadata(
    sae: Any, probe: LinearProbe, k_sparse_probes: Probes, sae_name: str, layer: int
) -> pd.DataFrame:
    """A row per letter and k: latents, weights and bias of the probe, cosines of the latents with the letter's.

    Args:
        probe: letter probes on activations.
        sae_name, layer: what the rows are marked with.
    """
    unit_CD = normalize(probe.weights.detach().to(sae.W_dec), dim=1)
    encoder_CF = (unit_CD @ normalize(sae.W_enc, dim=0)).float().cpu()
    decoder_CF = (unit_CD @ normalize(sae.W_dec, dim=1).T).float().cpu()
    rows = []
    for letter_id, letter in enumerate(LETTERS):
        for k, of_letter in k_sparse_probes.items():
            sparse = of_letter[letter_id]
            rows.append({
                "layer": layer, "sae_name": sae_name, "letter": letter, "k": k,
                "feats": sparse.feature_ids.numpy(),
                "cos_probe_sae_enc": encoder_CF[letter_id, sparse.feature_ids].numpy(),
                "cos_probe_sae_dec": decoder_CF[letter_id, sparse.feature_ids].numpy(),
                "weights": sparse.weight.float().numpy(), "bias": sparse.bias.item(),
            })  # fmt: skip
    return pd.DataFrame(rows)


@torch.no_grad()
def eval_probe_and_sae_k_sparse_raw_scores(
    sae: Any, probe: LinearProbe, k_sparse_probes: Probes, eval_labels: Sequence[tuple[str, int]],
    eval_activations: Float[Tensor, "N D"], eval_batch_size: int = 24,
) -> pd.DataFrame:  # fmt: skip
    """A row per word: logits of the letter probes and, for every k, of the sparse ones, with their latents' codes.

    Args:
        probe: letter probes on activations.
        eval_labels: words with their letters.
        eval_batch_size: words encoded at once.
    """
    codes_NF = _get_sae_acts(sae, eval_activations, eval_batch_size).float()
    logits_NC = probe(eval_activations.to(probe.weights)).float().cpu()
    columns: dict[str, Any] = {
        "token": [token for token, _ in eval_labels],
        "answer_letter": [LETTERS[label] for _, label in eval_labels],
    }
    for letter_id, letter in enumerate(LETTERS):
        columns[f"score_probe_{letter}"] = logits_NC[:, letter_id].numpy()
        for k, of_letter in k_sparse_probes.items():
            sparse = of_letter[letter_id]
            own_NK = codes_NF[:, sparse.feature_ids]
            columns[f"score_sparse_sae_{letter}_k_{k}"] = sparse(codes_NF).numpy()
            columns[f"sum_sparse_sae_{letter}_k_{k}"] = own_NK.sum(dim=1).numpy()
            columns[f"sparse_sae_{letter}_k_{k}_acts"] = list(own_NK.numpy())
    return pd.DataFrame(columns)


def build_metrics_df(results_df: pd.DataFrame, metadata_df: pd.DataFrame, max_k_value: int) -> pd.DataFrame:
    """A row per letter: quality of the letter probe and of each sparse probe, with what the metadata say of it.

    Args:
        results_df: of `eval_probe_and_sae_k_sparse_raw_scores`.
        metadata_df: of `sae_k_sparse_metadata`.
        max_k_value: k from 1 to this.
    """
    described = metadata_df.set_index(["letter", "k"])
    rows = []
    for letter in LETTERS:
        truth_N = torch.from_numpy((results_df["answer_letter"] == letter).to_numpy(bool))

        def quality(column: str, name: str, above: float = 0.0, truth_N: Tensor = truth_N) -> dict[str, float]:
            score_N = torch.from_numpy(results_df[column].to_numpy(float))
            scores = f1_scores(score_N > above, truth_N)
            area = area_under_curve(score_N[truth_N], score_N[~truth_N])
            values = (("f1", scores.f1), ("recall", scores.recall), ("precision", scores.precision))
            return {
                f"auc_{name}": float("nan") if area is None else area,
                **{f"{m}_{name}": float(v) for m, v in values},
            }

        row: dict[str, Any] = {**quality(f"score_probe_{letter}", "probe"), "letter": letter}
        for k in range(1, max_k_value + 1):
            row |= quality(f"score_sparse_sae_{letter}_k_{k}", f"sparse_sae_{k}")
            row |= quality(f"sum_sparse_sae_{letter}_k_{k}", f"sum_sparse_sae_{k}", EPS)
            about = described.loc[(letter, k)]
            row |= {f"{name}_k_{k}": about[name] for name in ("cos_probe_sae_enc", "cos_probe_sae_dec")}
            row |= {f"sparse_sae_k_{k}_{name}": about[name] for name in ("feats", "weights", "bias")}
            row |= {"layer": about["layer"], "sae_name": about["sae_name"]}
        rows.append(row)
    return pd.DataFrame(rows)


def add_feature_splits_to_metrics_df(df: pd.DataFrame, max_k_value: int, f1_jump_threshold: float = 0.03) -> None:
    """Add `split_feats`, the latents of the largest k up to which each step raises F1 by more than the threshold."""

    def own_latents(row: pd.Series) -> list[int]:
        k = 1
        while k < max_k_value and row[f"f1_sparse_sae_{k + 1}"] > row[f"f1_sparse_sae_{k}"] + f1_jump_threshold:
            k += 1
        return list(map(int, row[f"sparse_sae_k_{k}_feats"]))

    df["split_feats"] = [own_latents(row) for _, row in df.iterrows()]
    df["num_split_features"] = [len(latents) - 1 for latents in df["split_feats"]]


# ---- the step as a whole


def get_sparse_probing_raw_results_filename(sae_name: str, layer: int) -> str:
    """The file of `eval_probe_and_sae_k_sparse_raw_scores`."""
    return _file_name(sae_name, layer, "raw_results")


def get_sparse_probing_metadata_filename(sae_name: str, layer: int) -> str:
    """The file of `sae_k_sparse_metadata`."""
    return _file_name(sae_name, layer, "metadata")


def get_sparse_probing_metrics_filename(sae_name: str, layer: int) -> str:
    """The file of `build_metrics_df`."""
    return _file_name(sae_name, layer, "metrics")


def _file_name(sae_name: str, layer: int, table: str) -> str:
    return f"layer_{layer}_{sae_name}_{table}.parquet"


def load_and_run_eval_probe_and_sae_k_sparse_raw_scores(
    sae: Any, model: Any, layer: int, sae_name: str, max_k_value: int, prompt_template: str, prompt_token_pos: int,
    probes_dir: Path | str, device: str, verbose: bool = True, k_sparse_probe_l1_decay: float = 0.01,
    k_sparse_probe_batch_size: int = 4096, k_sparse_probe_num_epochs: int = 50,
    precalc_k_sparse_probe_sae_acts: bool = False, eval_batch_size: int = 24,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Train what is missing and evaluate it; the arguments are those of `run_k_sparse_probing_experiment`.

    Returns:
        tables of `eval_probe_and_sae_k_sparse_raw_scores` and `sae_k_sparse_metadata`.
    """
    del verbose
    probe = files.load_or_train_probe(model, prompt_template, prompt_token_pos, layer, probes_dir, device=device)

    def split(name: str) -> tuple[Tensor, files.LabelledTokens]:
        return files.load_probe_data_split_or_train(
            model, prompt_template, prompt_token_pos, layer, name, probes_dir, device="cpu"
        )

    x_train_ND, train_words = split("train")
    sparse = train_k_sparse_probes(
        sae, train_words, x_train_ND, range(1, max_k_value + 1), k_sparse_probe_l1_decay, k_sparse_probe_batch_size,
        k_sparse_probe_num_epochs, precalc_k_sparse_probe_sae_acts,
    )  # fmt: skip
    x_test_ND, test_words = split("test")
    scores = eval_probe_and_sae_k_sparse_raw_scores(sae, probe, sparse, test_words, x_test_ND, eval_batch_size)
    return scores, sae_k_sparse_metadata(sae, probe, sparse, sae_name, layer)


def run_k_sparse_probing_experiment(
    model: Any, sae: Any, layer: int, sae_name: str, max_k_value: int, prompt_template: str, prompt_token_pos: int,
    device: str, experiment_dir: Path | str = files.RESULTS_DIR / SPARSE_PROBING_EXPERIMENT_NAME,
    probes_dir: Path | str = files.PROBES_DIR, force: bool = False, f1_jump_threshold: float = 0.03,
    k_sparse_probe_l1_decay: float = 0.01, k_sparse_probe_batch_size: int = 4096,
    k_sparse_probe_num_epochs: int = 50, precalc_k_sparse_probe_sae_acts: bool = False, eval_batch_size: int = 24,
    verbose: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """The table of `build_metrics_df` with `split_feats`, from `<experiment_dir>/<sae_name>` where it is there.

    Args:
        model: see `PromptReader`.
        layer: whose residual stream is read.
        prompt_template, prompt_token_pos: a line about a word, and the token of the prompt that is read.
        probes_dir: where letter probes are, or go.
        force: make the tables anew.
        f1_jump_threshold: of `add_feature_splits_to_metrics_df`.
        k_sparse_probe_l1_decay, k_sparse_probe_batch_size, k_sparse_probe_num_epochs: of the L1 probe.
        precalc_k_sparse_probe_sae_acts, eval_batch_size: as in the functions of these steps.
    """
    folder = files.get_or_make_dir(experiment_dir) / sae_name

    def metrics() -> pd.DataFrame:
        names = (get_sparse_probing_raw_results_filename, get_sparse_probing_metadata_filename)
        results, metadata = files.load_dfs_or_run(
            lambda: load_and_run_eval_probe_and_sae_k_sparse_raw_scores(
                sae, model, layer, sae_name, max_k_value, prompt_template, prompt_token_pos, probes_dir, device,
                verbose, k_sparse_probe_l1_decay, k_sparse_probe_batch_size, k_sparse_probe_num_epochs,
                precalc_k_sparse_probe_sae_acts, eval_batch_size,
            ),
            [folder / name(sae_name, layer) for name in names],
            force,
        )  # fmt: skip
        return build_metrics_df(results, metadata, max_k_value)

    table = files.load_df_or_run(metrics, folder / get_sparse_probing_metrics_filename(sae_name, layer), force)
    add_feature_splits_to_metrics_df(table, max_k_value, f1_jump_threshold)
    return table
