"""Reads the packed rows of the pass: sums of reconstruction and sparsity, and the branches of the loss metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sae_bench.activations.batches import ActivationBatch
from sae_bench.custom_saes.interface import (
    SparseCodes,
    compute_dtype,
    decode_tokens,
    decoder_is_linear,
    encode_rows,
    encode_tokens,
    has_skip_path,
    predict_tokens,
    reads_rows,
    skip_path,
)
from sae_bench.custom_saes.loading import Member
from sae_bench.evals.core import blocks
from sae_bench.evals.core.eval_config import CoreEvalConfig
from sae_bench.evals.core.loss import BranchSums, LossSums, compare_branches, zero_stream_logits
from sae_bench.evals.core.mean_activation import MeanActivation, branch_name, with_mean
from sae_bench.evals.core.token_statistics import ReconstructionStatistics, TargetStatistics
from sae_bench.evals.core.weights import nth_decoder_projection
from sae_bench.language_models import LanguageModel
from sae_bench.language_models.branches import (
    STREAMS_BETWEEN_LAYERS,
    resume_point,
    run_branch,
    stream_before,
)
from sae_bench.language_models.hooks import EMBED, hooks_side_by_side, parse_hook_name


class CoreConsumer:
    """Reads the packed rows of the pass and keeps the sums of every SAE.

    Reconstructions stand beside, and in the place of, what is at the hook that an SAE writes: the one it reads, unless
    it is a transcoder.

    Args:
        members: the SAEs of the group.
        means: what earlier groups measured with the mean activation in the reconstruction's place, by hook.
    """

    def __init__(
        self,
        lm: LanguageModel,
        config: CoreEvalConfig,
        members: Sequence[Member],
        means: Mapping[str, MeanActivation] | None = None,
    ) -> None:
        self.lm = lm
        self.config = config
        self.hooks = {m.hook_name_out: parse_hook_name(m.hook_name_out) for m in members}
        self.targets = {hook: TargetStatistics() for hook in self.hooks}
        self.means = {hook: (means or {}).get(hook, MeanActivation()) for hook in self.hooks}
        self._unmeasured = [hook for hook in self.hooks if hook not in (means or {})]
        self.statistics = {m.key: ReconstructionStatistics(int(m.sae.cfg.d_sae)) for m in members}
        skipping = [skip_only(m) for m in members if has_skip_path(m.sae)]
        self.statistics |= {name: ReconstructionStatistics(1) for name in skipping}
        self.losses = LossSums()
        self.statistics_rows: list[range] = []
        self.loss_rows: list[range] = []
        self.sae_sums = {name: BranchSums() for name in self.statistics}
        self.ablation_sums = {hook: BranchSums() for hook in self.hooks}
        self.constant_ablations = self._constant_ablations()
        self.projections: dict[str, float] = {}
        self._branch_hidden: dict[str, Tensor] = {}
        self._beside: dict[str, Tensor] = {}
        self._special_N: Tensor | None = None

    @property
    def n_loss_rows(self) -> int:
        """How many rows, from the first, the loss metrics read."""
        wanted = self.config.compute_kl or self.config.compute_ce_loss
        return self.config.n_eval_reconstruction_batches * self.config.batch_size_prompts if wanted else 0

    @property
    def n_statistics_rows(self) -> int:
        """How many rows, from the first, all other metrics read."""
        c = self.config
        wanted = (
            c.compute_l2_norms
            or c.compute_sparsity_metrics
            or c.compute_variance_metrics
            or c.compute_featurewise_density_statistics
        )
        return c.n_eval_sparsity_variance_batches * c.batch_size_prompts if wanted else 0

    def _constant_ablations(self) -> dict[str, Tensor]:
        """Logits with a whole residual stream at zero, for the hooks where that takes no forward pass."""
        names = [name for name, point in self.hooks.items() if point.is_residual and self.n_loss_rows]
        logits = {name: zero_stream_logits(self.lm, name) for name in names}
        return {name: value for name, value in logits.items() if value is not None}

    def extra_hooks(self) -> tuple[str, ...]:
        """The hooks that transcoders write, and residual streams that branches at other hooks start from."""
        needed = (p for p in self.hooks.values() if p.kind not in (*STREAMS_BETWEEN_LAYERS, EMBED))
        streams = [stream_before(p) for p in needed] if self.n_loss_rows else []
        return tuple(dict.fromkeys([*streams, *self.hooks]))

    def on_activations(self, batch: ActivationBatch) -> None:
        self._branch_hidden, self._beside, self._special_N = {}, {}, None
        if batch.rows[0] < self.n_statistics_rows:
            self.statistics_rows += rows_of_blocks(batch)
            for hook, statistics in self.targets.items():
                statistics.update(batch.tokens(hook))
            for hook in self._unmeasured:
                self.means[hook].add_cosines(batch, hook)

    def on_codes(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        self._add(member.key, batch, member, codes)
        if has_skip_path(member.sae):
            self._add(skip_only(member), batch, member, no_latents(codes))
        wanted = batch.rows[0] < self.n_statistics_rows and self.config.compute_sparsity_metrics
        if wanted and member.key not in self.projections:
            self.projections[member.key] = self._projection(batch, member)

    def _add(self, name: str, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor) -> None:
        """Add a batch to the sums of that name, as what these codes of an SAE make of it."""
        hook = member.hook_name_out
        reconstruction_ND = self._predict(batch, member, codes, batch.token_N)
        if batch.rows[0] < self.n_statistics_rows:
            self.statistics[name].update(
                self.targets[hook], batch.tokens(hook), reconstruction_ND, codes, batch.text_of_token_N, len(batch.rows)
            )
        if batch.rows[0] < self.n_loss_rows:
            value_BLD = self._replacement(batch, member, reconstruction_ND, silent=name != member.key)
            start = resume_point(self.hooks[hook], batch.x_BLD)
            self._branch_hidden[name] = run_branch(self.lm, self.hooks[hook], batch.ids_BL, start, value_BLD)

    def _projection(self, batch: ActivationBatch, member: Member) -> float:
        """The n-th decoder projection of one batch, of what is left for the latents where there is a skip path."""
        if not decoder_is_linear(member.sae):
            return float("nan")
        target_ND = batch.tokens(member.hook_name_out)
        if reads_rows(member.sae):
            skipped_ND: Tensor | None = self._beside_latents(batch, member)[batch.token_N]
        else:
            skipped_ND = skip_path(member.sae, batch.tokens(member.hook_name).to(compute_dtype(member.sae)))
        return nth_decoder_projection(member.sae, target_ND if skipped_ND is None else target_ND - skipped_ND)

    def on_batch_end(self, batch: ActivationBatch) -> None:
        if batch.rows[0] >= self.n_loss_rows:
            return
        ablated: dict[str, Tensor] = {}
        for name, point in self.hooks.items():
            if name not in self.constant_ablations:
                start = resume_point(point, batch.x_BLD)
                zeros = torch.zeros_like(batch.x_BLD[name])
                ablated[name] = run_branch(self.lm, point, batch.ids_BL, start, zeros)
        for name in self._unmeasured:
            mean_BLD = with_mean(batch, name, self._changed(batch))
            start = resume_point(self.hooks[name], batch.x_BLD)
            ablated[branch_name(name)] = run_branch(self.lm, self.hooks[name], batch.ids_BL, start, mean_BLD)
        self.loss_rows += rows_of_blocks(batch)
        means = {branch_name(hook): self.means[hook].losses for hook in self._unmeasured}
        compare_branches(
            self.lm,
            self._original(batch),
            {**self._branch_hidden, **ablated},
            self.constant_ablations,
            batch.ids_BL,
            batch.token_N,
            self.losses,
            {**self.sae_sums, **self.ablation_sums, **means},
        )
        self._branch_hidden = {}

    def drop(self, member: Member) -> None:
        for name in (member.key, skip_only(member)):
            self._branch_hidden.pop(name, None)

    def _original(self, batch: ActivationBatch) -> Tensor:
        """Final hidden states of the untouched model, resumed from the deepest stream that was captured."""
        points = [parse_hook_name(name) for name in batch.x_BLD if hooks_side_by_side(name) == (name,)]
        streams = [p for p in points if p.kind in STREAMS_BETWEEN_LAYERS]
        if not streams:
            return self.lm.final_hidden(batch.ids_BL)
        deepest = max(streams, key=lambda p: p.first_downstream_layer)
        return self.lm.final_hidden(batch.ids_BL, resume=resume_point(deepest, batch.x_BLD))

    def _replacement(
        self, batch: ActivationBatch, member: Member, reconstruction_ND: Tensor, *, silent: bool
    ) -> Tensor:
        """The reconstruction at every token, special ones included unless the configuration leaves them alone.

        Args:
            silent: whether it is made without latents.
        """
        x_BLD = batch.x_BLD[member.hook_name_out]
        value_ND = x_BLD.flatten(0, 1).clone()
        value_ND[batch.token_N] = reconstruction_ND.to(value_ND.dtype)
        special_N = self._special_tokens(batch)
        if len(special_N):
            read_BLD = batch.x_BLD[member.hook_name]
            if reads_rows(member.sae):
                codes: SparseCodes | Tensor = encode_rows(member.sae, read_BLD).flatten(0, 1)[special_N]
            else:
                codes = encode_tokens(member.sae, read_BLD.flatten(0, 1)[special_N])
            special_ND = self._predict(batch, member, no_latents(codes) if silent else codes, special_N)
            value_ND[special_N] = special_ND.to(value_ND.dtype)
        return value_ND.view(x_BLD.shape)

    def _special_tokens(self, batch: ActivationBatch) -> Tensor:
        """Place of each token that a reconstruction takes the place of beside the valid ones; read once per batch."""
        if self._special_N is None:
            self._special_N = (self._changed(batch) & ~batch.valid_BL).flatten().nonzero()[:, 0]
        return self._special_N

    def _predict(self, batch: ActivationBatch, member: Member, codes: SparseCodes | Tensor, where_N: Tensor) -> Tensor:
        """What is to stand at the output hook at the tokens in those places, whose codes are given."""
        if reads_rows(member.sae):
            return decode_tokens(member.sae, codes) + self._beside_latents(batch, member)[where_N]
        if not has_skip_path(member.sae):  # nothing of what is read has to be gathered again
            return decode_tokens(member.sae, codes)
        return predict_tokens(member.sae, codes, batch.x_BLD[member.hook_name].flatten(0, 1)[where_N])

    def _beside_latents(self, batch: ActivationBatch, member: Member) -> Tensor:
        """What an SAE of whole texts reconstructs without its codes at each of the B x L tokens; once per batch."""
        if member.key not in self._beside:
            x_BLD = batch.x_BLD[member.hook_name].to(compute_dtype(member.sae))
            beside_BLD = skip_path(member.sae, x_BLD)
            self._beside[member.key] = (torch.zeros_like(x_BLD) if beside_BLD is None else beside_BLD).flatten(0, 1)
        return self._beside[member.key]

    def _changed(self, batch: ActivationBatch) -> Tensor:
        """Where a reconstruction takes the place of the activation, (B, L)."""
        if self.config.exclude_special_tokens_from_reconstruction:
            return batch.valid_BL
        return self.lm.choice.keeps(batch.ids_BL).to(batch.valid_BL.device)


def skip_only(member: Member) -> str:
    """Name of the sums of a skip transcoder's skip path: what it predicts while none of its latents is active."""
    return f"{member.key} without latents"


def no_latents(codes: SparseCodes | Tensor) -> SparseCodes:
    """Codes of as many tokens in which nothing is active."""
    if isinstance(codes, SparseCodes):
        n_tokens, d_sae = len(codes.values_NK), codes.d_sae
    else:
        n_tokens, d_sae = codes.shape
    values_NK = codes.values_NK if isinstance(codes, SparseCodes) else codes
    return SparseCodes(
        values_NK.new_zeros(n_tokens, 1), torch.zeros(n_tokens, 1, dtype=torch.long, device=values_NK.device), d_sae
    )


def rows_of_blocks(batch: ActivationBatch) -> list[range]:
    """The rows of the corpus that each block of a batch holds."""
    return [range(batch.rows[part.start], batch.rows[part.stop - 1] + 1) for part in blocks.slices(len(batch.rows))]
