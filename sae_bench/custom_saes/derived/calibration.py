"""What baselines learn from text: a sample's activations, read once, and what an encoder makes of them.

Shapes: N tokens, D d_in, O d_out (D but for transcoders), F latents, K active latents per token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sae_bench.custom_saes.interface import SAE, SparseCodes, encode_tokens
from sae_bench.custom_saes.spec import LoadContext
from sae_bench.errors import SAEMismatchError, UsageError

_CODES_AT_ONCE = 1 << 26
"""Entries of a block of dense codes."""
WIDEST_GRAM = 16_384
"""Latents up to which their products with one another are held (1 GiB); wider systems are solved step by step."""
_RIDGE = 0.1
_MAX_STEPS = 300
_SOLVED = 1e-4
_FEWEST_TOKENS = 2
_COUNTED_TOKENS = 2048


class RememberedActivations:
    """Activations of a sample of text at any hook; the model reads the sample once per hook.

    Args:
        read: gives batches (N, D) of the sample's activations at a hook.
    """

    def __init__(self, read: Callable[[str], Iterator[Float[Tensor, "_ D"]]]) -> None:
        self._read = read
        self._batches: dict[str, list[Tensor]] = {}

    def __call__(self, hook: str) -> Iterator[Float[Tensor, "_ D"]]:
        if hook not in self._batches:
            self._batches[hook] = [batch.cpu() for batch in self._read(hook)]
        yield from self._batches[hook]


class Sample:
    """The calibration sample of a run at one hook, in float32.

    Args:
        context: of the run whose model reads the sample.
        hook: where its activations are taken.
        device: where they are worked with.
    Raises:
        UsageError: the run has no text to give.
    """

    def __init__(self, context: LoadContext, hook: str, device: torch.device) -> None:
        if context.activations is None:
            raise UsageError(
                "this baseline is made with activations of a model, and none is at hand. Next: give the model too."
            )
        self._batches = [batch for batch in context.activations(hook) if len(batch)]
        self.device = device
        self.n_tokens = sum(len(batch) for batch in self._batches)
        if self.n_tokens < _FEWEST_TOKENS:
            raise UsageError(
                f"the corpus that baselines are fitted to gives {self.n_tokens} tokens. Next: --pca-corpus."
            )

    def blocks(self, d_sae: int) -> Iterator[Float[Tensor, "_ D"]]:
        """Its tokens in blocks whose codes of `d_sae` latents fit into memory."""
        for batch in self._batches:
            for block in batch.split(max(1, _CODES_AT_ONCE // d_sae)):
                yield block.to(self.device, torch.float32)

    def mean(self) -> Float[Tensor, " D"]:
        """The mean activation."""
        return (sum(batch.double().sum(0) for batch in self._batches) / self.n_tokens).float().to(self.device)  # type: ignore[union-attr]


@torch.no_grad()
def mean_l0(sae: SAE, sample: Sample) -> float:
    """Active latents per token of an SAE on the first tokens of the sample; active is what is not 0."""
    x_ND = next(sample.blocks(int(sae.cfg.d_sae)))[:_COUNTED_TOKENS]
    return int((_values(encode_tokens(sae, x_ND)) != 0).sum()) / len(x_ND)


@torch.no_grad()
def mean_activity(sae: SAE, sample: Sample) -> Float[Tensor, " F"]:
    """How much each latent takes part in reconstructions: mean |f| over tokens times the length of its decoder row."""
    total_F = torch.zeros(int(sae.cfg.d_sae), dtype=torch.float64, device=sae.W_dec.device)
    for codes in _codes(sae, sample):
        if isinstance(codes, Tensor):
            total_F += codes.double().abs().sum(0)
        else:
            total_F.index_add_(0, codes.indices_NK.flatten(), codes.values_NK.double().abs().flatten())
    return (total_F / sample.n_tokens * sae.W_dec.double().norm(dim=1)).float()


@torch.no_grad()
def threshold_for(l0: float, W_enc_DF: Float[Tensor, "D F"], b_enc_F: Float[Tensor, " F"], sample: Sample) -> float:
    """The threshold that `l0` pre-activations per token exceed, on the sample.

    Args:
        l0: active latents per token that are wanted.
        W_enc_DF, b_enc_F: of the encoder.
    Raises:
        SAEMismatchError: so many pre-activations are not above 0.
    """
    n_above = round(l0 * sample.n_tokens)
    largest = W_enc_DF.new_empty(0)
    for x_ND in sample.blocks(W_enc_DF.shape[1]):
        pre = torch.addmm(b_enc_F, x_ND, W_enc_DF).flatten()
        candidates = torch.cat([largest, pre[pre > largest[-1]] if len(largest) > n_above else pre])
        largest = candidates.topk(min(n_above + 1, len(candidates))).values  # sorted: the last one is the threshold
    threshold = float(largest[-1])
    if n_above < 1 or len(largest) <= n_above or threshold < 0:
        raise not_sparse(W_enc_DF.shape[1], l0)
    return threshold


def not_sparse(n_latents: int, l0: float) -> SAEMismatchError:
    """Why a random encoder cannot have that L0."""
    return SAEMismatchError(f"random latents cannot match {l0:.4g} of {n_latents} active per token (0, or near half)")


@torch.no_grad()
def ridge_decoder(sae: SAE, sample: Sample, target: Sample) -> tuple[Float[Tensor, "F O"], Float[Tensor, " O"]]:
    """Decoder and bias that give the target best from an SAE's codes, by ridge regression.

    Args:
        sae: whose codes are taken; its decoder is not looked at.
        sample: what it reads.
        target: what is to be given for each of these tokens; the sample itself but for a transcoder.

    The penalty is a tenth of the mean variance of a code, per token; the bias bears none. Latents that never fire get a
    row of zeros.
    """
    mean_O, n_latents, device = target.mean(), len(sae.W_dec), sae.W_dec.device
    wide = n_latents > WIDEST_GRAM
    gram_FF = torch.zeros(0 if wide else n_latents, n_latents, device=device)
    sparse_codes: list[Tensor] = []
    target_FO = torch.zeros(n_latents, len(mean_O), device=device)
    total_F, squares_F = torch.zeros(2, n_latents, device=device)
    for x_ND, y_NO in zip(sample.blocks(n_latents), target.blocks(n_latents), strict=True):
        f_NF = sae.encode(x_ND)
        if wide:
            sparse_codes.append(f_NF.to_sparse())
        else:
            gram_FF += f_NF.T @ f_NF
        target_FO += f_NF.T @ (y_NO - mean_O)
        total_F += f_NF.sum(0)
        squares_F += f_NF.square().sum(0)
    n_tokens, mean_F = sample.n_tokens, total_F / sample.n_tokens
    variance_F = squares_F - n_tokens * mean_F.square()
    penalty = _RIDGE * float(variance_F.mean())
    if wide:
        product = _sparse_product(torch.cat(sparse_codes), mean_F, penalty)
        W_dec_FO = _conjugate_gradients(product, target_FO, variance_F + penalty)
    else:
        gram_FF -= n_tokens * torch.outer(mean_F, mean_F)
        gram_FF.diagonal().add_(penalty)
        W_dec_FO = torch.cholesky_solve(target_FO, torch.linalg.cholesky(gram_FF))
    return W_dec_FO, mean_O - mean_F @ W_dec_FO


def _sparse_product(codes_NF: Tensor, mean_F: Float[Tensor, " F"], penalty: float) -> Callable[[Tensor], Tensor]:
    """The product of a matrix with the centred codes' products with one another, of which none is held."""

    def product(W_FO: Tensor) -> Tensor:
        summed_FO = torch.sparse.mm(codes_NF.t(), torch.sparse.mm(codes_NF, W_FO))
        return summed_FO - len(codes_NF) * torch.outer(mean_F, mean_F @ W_FO) + penalty * W_FO

    return product


def _conjugate_gradients(
    product: Callable[[Tensor], Tensor], target_FO: Float[Tensor, "F O"], diagonal_F: Float[Tensor, " F"]
) -> Float[Tensor, "F O"]:
    """Solve `product(W) = target` for a positive definite product, each column by itself, to 1e-4 of its length."""
    W_FO, left_FO = torch.zeros_like(target_FO), target_FO.clone()
    scaled_FO = left_FO / diagonal_F[:, None]
    step_FO, size_O = scaled_FO, (left_FO * scaled_FO).sum(0)
    for _ in range(_MAX_STEPS):
        moved_FO = product(step_FO)
        length_O = size_O / (step_FO * moved_FO).sum(0).clamp(min=1e-30)
        W_FO += length_O * step_FO
        left_FO -= length_O * moved_FO
        if (left_FO.norm(dim=0) <= _SOLVED * target_FO.norm(dim=0)).all():
            break
        scaled_FO = left_FO / diagonal_F[:, None]
        before_O, size_O = size_O, (left_FO * scaled_FO).sum(0)
        step_FO = scaled_FO + size_O / before_O.clamp(min=1e-30) * step_FO
    return W_FO


def _codes(sae: SAE, sample: Sample) -> Iterator[SparseCodes | Tensor]:
    for x_ND in sample.blocks(int(sae.cfg.d_sae)):
        yield encode_tokens(sae, x_ND)


def _values(codes: SparseCodes | Tensor) -> Tensor:
    return codes if isinstance(codes, Tensor) else codes.values_NK
