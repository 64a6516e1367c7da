"""What probes make of pooled activations once some latents are set to zero: the mathematics that scr and tpp share.

With m_i and a_i the means of text i's activations and codes over its tokens, and a decoder that is linear in the code,
zeroing the latents S moves the probe's input to m_i - sum_{s in S} a_i[s] d_s. A probe's logit moves by
-sum_{s in S} a_i[s] (w.d_s): with latents in order of effect, partial sums give the logits for every N at once, and
nothing is decoded. SAEs of another kind take `decoded_shifts`, which zeroes, decodes and pools token by token.

Shapes: P probes, A ablations, J evaluated probes, U test texts, N numbers of latents, D d_model, F latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.activations.batches import bucket_by_length, pad
from sae_bench.activations.device_limits import capture_with_halving
from sae_bench.custom_saes.interface import compute_dtype, decoder_is_linear
from sae_bench.errors import UsageError
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.numbers import check_finite
from sae_bench.probes import AdamWProbes, FeatureMatrix

_LATENTS_AT_ONCE = 16_384
DENSE_CODES = 1 << 27
"""Values of dense codes that exist at once on the path that decodes: half a gigabyte."""


@dataclass(frozen=True)
class Contrast:
    """Training texts of a concept and their opposite: rows of the pooled matrices."""

    positive_rows: Int[Tensor, " P"]
    negative_rows: Int[Tensor, " Q"]


@dataclass(frozen=True)
class Ablation:
    """Zero the latents that matter most for one probe, and look what other probes make of the test texts.

    Attributes:
        probe: place of the probe whose latents are ranked.
        contrast: the texts whose mean codes rank them.
        evaluated: places of the J probes that read the ablated texts.
        test_rows: rows of the U test texts; ablations of the same texts share the tensor.
        signed: tpp's ranking, latents that raise the logit first; else scr's, by size whatever the sign.
        name: what tells it from all others of a model, for what is drawn at random for it.
    """

    probe: int
    contrast: Contrast
    evaluated: tuple[int, ...]
    test_rows: Int[Tensor, " U"]
    signed: bool
    name: tuple[object, ...] = ()


@dataclass(frozen=True)
class TokenSource:
    """Where tokens can be had again: the model, the hook that the SAE reads, and the token ids of every text."""

    lm: LanguageModel
    hook_name: str
    token_ids: Sequence[Sequence[int]]


def logits(probes: AdamWProbes, x_TD: Float[Tensor, "T D"], probe_numbers: Sequence[int]) -> Float[Tensor, "J T"]:
    """Logits w.x + b of some probes, given by number, for every row of activations."""
    index = list(probe_numbers)
    return probes.weights_PF[index] @ x_TD.T + probes.bias_P[index][:, None]


# ---- which latents


@torch.no_grad()
def decoder_projections(W_dec_FD: Float[Tensor, "F D"], weights_PD: Float[Tensor, "P D"]) -> Float[Tensor, "P F"]:
    """Dot product of every probe's weights with every decoder direction, in float32 on the CPU."""
    weights_DP = weights_PD.to(W_dec_FD.device).T
    return torch.cat([(part.float() @ weights_DP).cpu() for part in W_dec_FD.split(_LATENTS_AT_ONCE)]).T


def mean_differences(codes: FeatureMatrix, contrasts: Sequence[Contrast]) -> list[Float[Tensor, " F"]]:
    """Mean code of the positive less that of the negative texts, float64; rows that several share are averaged once.

    Raises:
        UsageError: codes that are not finite.
    """
    means: dict[int, Tensor] = {}

    def mean(rows: Tensor) -> Tensor:
        if id(rows) not in means:
            means[id(rows)] = codes.mean(rows).cpu()
        return means[id(rows)]

    differences = [mean(contrast.positive_rows) - mean(contrast.negative_rows) for contrast in contrasts]
    if not all(bool(difference_F.isfinite().all()) for difference_F in differences):
        raise UsageError("pooled codes are NaN or infinite; check the activations and the weights of the SAE.")
    return differences


def effects(
    difference_F: Float[Tensor, " F"], projection_F: Float[Tensor, " F"], *, signed: bool
) -> Float[Tensor, " F"]:
    """How much a latent moves its probe: difference of mean codes times w.d_s.

    Signed (tpp), a latent counts only where it is more active on the positive texts; else (scr) the absolute value.
    """
    if signed:
        return difference_F.clamp(min=0.0) * projection_F.double()
    return (difference_F * projection_F.double()).abs()


def rank_latents(effect_F: Float[Tensor, " F"], n: int) -> Int[Tensor, " K"]:
    """The n latents of largest effect in order, or as many as have an effect other than zero, if these are fewer.

    Signed effects are compared with their sign, so that a latent without effect comes before one that lowers the
    logit; of latents that tie, the one with the lower index comes first.
    """
    n_moving = int((effect_F != 0).sum())
    return torch.sort(effect_F, descending=True, stable=True).indices[: min(n, n_moving)]


def rank_all(
    codes: FeatureMatrix, projections_PF: Float[Tensor, "P F"], ablations: Sequence[Ablation], n: int
) -> list[Int[Tensor, " _"]]:
    """`rank_latents` of every ablation."""
    contrasts = {id(ablation.contrast): ablation.contrast for ablation in ablations}
    differences = dict(zip(contrasts, mean_differences(codes, list(contrasts.values())), strict=True))
    return [
        rank_latents(effects(differences[id(a.contrast)], projections_PF[a.probe], signed=a.signed), n)
        for a in ablations
    ]


# ---- what the probes make of the texts without them


def all_shifts(
    sae: Any,
    codes: FeatureMatrix,
    probes: AdamWProbes,
    ablations: Sequence[Ablation],
    sizes: Sequence[int],
    source: TokenSource,
) -> tuple[list[Float[Tensor, "N J U"]], list[Int[Tensor, " _"]]]:
    """How far every ablation moves the logits of the probes it evaluates, for every N of `sizes` (ascending).

    Returns:
        the changes, and the latents that each ablation ranked (fewer than the largest N where few have an effect).
    """
    projections_PF = decoder_projections(sae.W_dec, probes.weights_PF)
    latents = rank_all(codes, projections_PF, ablations, sizes[-1])
    if not decoder_is_linear(sae):
        return decoded_shifts(sae, source, probes.weights_PF, ablations, latents, sizes), latents
    pairs = zip(ablations, latents, strict=True)
    return [pooled_shift(codes, projections_PF, a, latents_K, sizes) for a, latents_K in pairs], latents


def pooled_shift(
    codes: FeatureMatrix,
    projections_PF: Float[Tensor, "P F"],
    ablation: Ablation,
    latents_K: Int[Tensor, " K"],
    sizes: Sequence[int],
) -> Float[Tensor, "N J U"]:
    """Change of the evaluated probes' logits on the test texts for every N of `sizes` (ascending), decoder linear."""
    values_UK = codes.columns(ablation.test_rows, latents_K).cpu()
    weights_KJ = projections_PF[list(ablation.evaluated)][:, latents_K].T
    parts, start = [], 0
    for size in sizes:
        end = min(size, len(latents_K))
        parts.append(-(values_UK[:, start:end] @ weights_KJ[start:end]).T)
        start = end
    return torch.stack(parts).cumsum(dim=0)


@torch.no_grad()
def decoded_shifts(
    sae: Any,
    source: TokenSource,
    weights_PD: Float[Tensor, "P D"],
    ablations: Sequence[Ablation],
    latents: Sequence[Tensor],
    sizes: Sequence[int],
) -> list[Float[Tensor, "N J U"]]:
    """`pooled_shift` of every ablation for any decoder: zero latents token by token, decode, pool.

    An ablated token is x - decode(f) + decode(f without S), so the pooled input moves by the mean of the difference
    of the two decodings. The model runs again over the test texts, and each batch is decoded right after it was
    encoded, for SAEs that keep the scale of the tokens they have just seen.
    """
    shifts = [torch.zeros(len(sizes), len(a.evaluated), len(a.test_rows)) for a in ablations]
    groups: dict[int, list[int]] = {}
    for number, ablation in enumerate(ablations):
        groups.setdefault(id(ablation.test_rows), []).append(number)
    for together in groups.values():
        rows = ablations[together[0]].test_rows.tolist()
        for batch in _batches(sae, source, rows):
            ids_BL, valid_BL = pad([source.token_ids[rows[u]] for u in batch], source.lm)
            x_BLD = capture_with_halving(source.lm, ids_BL, [source.hook_name])[source.hook_name]
            check_finite(source.lm.name, source.lm.dtype, {source.hook_name: x_BLD}, valid_BL)
            valid_BL = valid_BL.to(x_BLD.device)
            token_text_T = valid_BL.nonzero()[:, 0]
            x_TD = x_BLD[valid_BL].to(compute_dtype(sae))
            codes_TF = sae.encode(x_TD)
            decoded_TD = sae.decode(codes_TF).float()
            count_B1 = valid_BL.sum(dim=1, keepdim=True).float()
            for number in together:
                weights_DJ = weights_PD[list(ablations[number].evaluated)].T.to(x_BLD.device)
                for n, ablated_TD in enumerate(_decodings(sae, codes_TF, latents[number], sizes)):
                    moved_BD = torch.zeros(len(batch), decoded_TD.shape[1], device=x_BLD.device)
                    moved_BD.index_add_(0, token_text_T, ablated_TD.float() - decoded_TD)
                    shifts[number][n][:, batch] = (moved_BD / count_B1 @ weights_DJ).T.cpu()
    return shifts


def _batches(sae: Any, source: TokenSource, rows: Sequence[int]) -> list[list[int]]:
    """Places within `rows` in batches of similar length whose dense codes fit; texts with none to read are out."""
    ids_of = [torch.as_tensor(source.token_ids[row], dtype=torch.long)[None] for row in rows]
    full = [u for u, ids_1L in enumerate(ids_of) if bool(source.lm.is_read(ids_1L).any())]
    lengths = [len(source.token_ids[rows[u]]) for u in full]
    max_tokens = max(1, min(16_384, DENSE_CODES // int(sae.W_dec.shape[0])))
    batches = bucket_by_length(lengths, max_tokens=max_tokens, max_texts=256)
    return [[full[number] for number in batch] for batch in batches]


def _decodings(sae: Any, codes_TF: Tensor, latents_K: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """Decodings of the tokens without the first n latents, for every n of `sizes` (ascending)."""
    left_TF = codes_TF.clone()
    start = 0
    for size in sizes:
        left_TF[:, latents_K[start:size].to(left_TF.device)] = 0.0
        start = size
        yield sae.decode(left_TF)
