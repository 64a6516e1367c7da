"""The kinds of SAE, one row each: class, foreign names, trainers, how norms fold, how reports and plots show it.

Classes are named, not imported, so that everything (the folding that classes call, the report) can read this table.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, NamedTuple

_CLASSES = "sae_bench.custom_saes"


class PlotStyle(NamedTuple):
    """How the published plots show an architecture: matplotlib's marker and colour, and the name in the legend."""

    marker: str
    color: str
    label: str


@dataclass(frozen=True)
class Trainer:
    """A trainer class of the dictionary_learning library and how its checkpoints read.

    Attributes:
        name: `trainer_class` in `config.json`.
        architecture: what the SAE's configuration then calls it.
        linear: whether weights are those of `nn.Linear`: transposed, and called encoder.* and decoder.*.
    """

    name: str
    architecture: str
    linear: bool = True


@dataclass(frozen=True)
class SAELensForm:
    """How SAELens saves and computes an architecture.

    Attributes:
        name: what its configuration calls it.
        folds: its names of the tensors that scale with the decoder norm beside the columns of W_enc; None: none can.
        subtracts_b_dec: whether our class subtracts `b_dec` before it encodes.
        with_skip: its name with an affine path beside the latents; empty: there is none with one.
    """

    name: str
    folds: tuple[str, ...] | None
    subtracts_b_dec: bool = True
    with_skip: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the form."""
        return (self.name, self.with_skip) if self.with_skip else (self.name,)


@dataclass(frozen=True)
class Architecture:
    """One kind of SAE.

    Attributes:
        name: in reports, and of the embedded SAE.
        title, color, symbol, marker: how reports show it (`symbol` of plotly, `marker` of matplotlib).
        other_names: what configurations and tools call it beside `name`, in lower case.
        sae_class: `<module>:<class>` in this package; empty where it has none, or shares that of another row.
        arguments: what the class is built from beside what all take.
        folds: the class's (F,) tensors that scale with the decoder norm beside the columns of W_enc; None where
            scaling a latent would change which latents fire (its rank among the others).
        saved: whether the package's own file format holds it.
        is_baseline: whether it is what SAEs are measured against: shown, but not ranked among them.
        trainers, sae_lens: how the two training libraries write it.
        plots: architecture in published results -> how the published plots show it.
    """

    name: str
    title: str
    color: str
    symbol: str
    marker: str
    other_names: tuple[str, ...] = ()
    sae_class: str = ""
    arguments: tuple[str, ...] = ("d_sae",)
    folds: tuple[str, ...] | None = None
    saved: bool = False
    is_baseline: bool = False
    trainers: tuple[Trainer, ...] = ()
    sae_lens: SAELensForm | None = None
    plots: tuple[tuple[str, PlotStyle], ...] = ()

    @property
    def class_name(self) -> str:
        """The name of its class, without the module."""
        return self.sae_class.partition(":")[2]

    @property
    def is_transcoder(self) -> bool:
        """Whether it predicts another hook than it reads."""
        return "hook_name_out" in self.arguments

    def load_class(self) -> Any:
        """Its class, imported now."""
        module = importlib.import_module(f"{_CLASSES}.{self.sae_class.partition(':')[0]}")
        return getattr(module, self.class_name)

    def is_class(self, sae: object) -> bool:
        """Whether an object is of this very class, not of one that inherits from it."""
        return f"{type(sae).__module__}:{type(sae).__qualname__}" == f"{_CLASSES}.{self.sae_class}"


_OF_PURSUIT = ("residual_threshold", "max_iterations", "stop_on_duplicate_support")
_OF_TRANSCODERS = ("d_sae", "d_out", "hook_name_out", "skip")

_ROWS = (
    Architecture(
        "relu", "ReLU", "#3f84e5", "circle", "o",
        other_names=("standard", "standard_april_update", "vanilla", "relu_sae", "standardsae"),
        sae_class="relu_sae:ReluSAE", folds=("b_enc",), saved=True,
        trainers=(
            Trainer("StandardTrainer", "standard"),
            Trainer("StandardTrainerAprilUpdate", "standard_april_update"),
        ),
        sae_lens=SAELensForm("standard", folds=("b_enc",)),
        plots=(
            ("standard", PlotStyle("o", "blue", "Standard")),
            ("standard_april_update", PlotStyle("o", "blue", "Standard")),
        ),
    ),
    Architecture(
        "topk", "TopK", "#1f9d61", "triangle-up", "^",
        other_names=("top_k",),
        sae_class="topk_sae:TopKSAE", arguments=("d_sae", "k", "use_threshold"), saved=True,
        trainers=(Trainer("TopKTrainer", "topk"),),
        sae_lens=SAELensForm("topk", folds=None),
        plots=(("topk", PlotStyle("^", "green", "TopK")),),
    ),
    Architecture(
        "abs_topk", "AbsTopK", "#7fb069", "star-square", "1",
        other_names=("abstopk",),
        sae_class="topk_sae:AbsTopKSAE", arguments=("d_sae", "k"), saved=True,
        sae_lens=SAELensForm("abstopk", folds=None),
    ),
    Architecture(
        "batch_topk", "BatchTopK", "#a259e6", "square", "s",
        other_names=("batchtopk",),
        sae_class="batch_topk_sae:BatchTopKSAE", arguments=("d_sae", "k"), saved=True,
        trainers=(Trainer("BatchTopKTrainer", "batch_topk"),),
        plots=(("batch_topk", PlotStyle("s", "purple", "Batch TopK")),),
    ),
    Architecture(
        "matryoshka_batch_topk", "Matryoshka BatchTopK", "#d6336c", "star", "*",
        other_names=("matryoshka", "matryoshka_batchtopk"),
        sae_class="batch_topk_sae:BatchTopKSAE", arguments=("d_sae", "k"),
        trainers=(Trainer("MatryoshkaBatchTopKTrainer", "matryoshka_batch_topk", linear=False),),
        plots=(("matryoshka_batch_topk", PlotStyle("*", "brown", "Matryoshka Batch TopK")),),
    ),
    Architecture(
        "jumprelu", "JumpReLU", "#e8801a", "x", "X",
        other_names=("jump_relu",),
        sae_class="jumprelu_sae:JumpReluSAE", folds=("b_enc", "threshold"), saved=True,
        trainers=(Trainer("JumpReluTrainer", "jumprelu", linear=False),),
        sae_lens=SAELensForm("jumprelu", folds=("b_enc", "threshold"), subtracts_b_dec=False),
        plots=(("jumprelu", PlotStyle("X", "orange", "JumpReLU")),),
    ),
    Architecture(
        "gated", "Gated", "#0d9fb3", "diamond", "D",
        # not r_mag: it multiplies x @ W_enc, which is scaled already
        sae_class="gated_sae:GatedSAE", folds=("gate_bias", "b_mag"), saved=True,
        trainers=(Trainer("GatedSAETrainer", "gated"), Trainer("GatedAnnealTrainer", "gated")),
        sae_lens=SAELensForm("gated", folds=("b_gate", "b_mag")),
        plots=(("gated", PlotStyle("d", "purple", "Gated")),),
    ),
    Architecture(
        "matching_pursuit", "Matching pursuit", "#6b4fbb", "star-triangle-down", "x",
        sae_class="matching_pursuit_sae:MatchingPursuitSAE", arguments=("d_sae", *_OF_PURSUIT),
        sae_lens=SAELensForm("matching_pursuit", folds=None),
    ),
    Architecture(
        "temporal", "Temporal", "#c05299", "arrow-right", ">",
        sae_class="temporal_sae:TemporalSAE",
        arguments=("d_sae", "n_active", "n_heads", "n_attn_layers", "bottleneck_factor", "smallest_length"),
        sae_lens=SAELensForm("temporal", folds=None),
    ),
    Architecture(
        "p_anneal", "ReLU, p-annealed", "#dd3f3f", "cross", "P",
        other_names=("panneal", "standard_p_anneal"),
        sae_class="relu_sae:ReluSAE", folds=("b_enc",),
        trainers=(Trainer("PAnnealTrainer", "p_anneal"),),
        plots=(("p_anneal", PlotStyle("P", "red", "Standard with P-Annealing")),),
    ),
    Architecture(
        "transcoder", "Transcoder", "#7a8b16", "hexagon", "h",
        other_names=("skip_transcoder",),
        sae_class="transcoder:Transcoder", arguments=_OF_TRANSCODERS, folds=("b_enc",), saved=True,
        sae_lens=SAELensForm("transcoder", folds=("b_enc",), subtracts_b_dec=False, with_skip="skip_transcoder"),
    ),
    Architecture(
        "jumprelu_transcoder", "JumpReLU transcoder", "#b35c00", "hexagon2", "H",
        other_names=("jumprelu_skip_transcoder",),
        sae_class="transcoder:JumpReluTranscoder", arguments=_OF_TRANSCODERS, folds=("b_enc", "threshold"), saved=True,
        sae_lens=SAELensForm(
            "jumprelu_transcoder", folds=("b_enc", "threshold"), subtracts_b_dec=False,
            with_skip="jumprelu_skip_transcoder",
        ),
    ),
    Architecture(
        "topk_transcoder", "TopK transcoder", "#2d6a4f", "octagon", "8",
        other_names=("topk_skip_transcoder",),
        sae_class="transcoder:TopKTranscoder", arguments=(*_OF_TRANSCODERS, "k"), saved=True,
    ),
    Architecture(
        "cross_layer_transcoder", "Cross-layer transcoder", "#8a5a00", "octagon-open", "$C$",
        sae_class="transcoder:CrossLayerTranscoder", arguments=(*_OF_TRANSCODERS, "n_layers"),
    ),
    Architecture(
        "decoder", "Decoder alone", "#4f5d75", "diamond-tall", "<",
        sae_class="decoder_sae:DecoderSAE",
    ),
    Architecture(
        "least_squares", "Least squares", "#5f7a61", "hexagram", ".",
        sae_class="decoder_sae:LeastSquaresSAE", folds=(),
    ),
    Architecture(
        "identity", "Residual stream (identity)", "#80858f", "triangle-down", "v",
        other_names=("identity_sae", "sae"),
        sae_class="identity_sae:IdentitySAE", arguments=(), is_baseline=True,
    ),
    Architecture(
        "pca", "PCA", "#9c7350", "pentagon", "p",
        other_names=("pca_sae",),
        sae_class="pca_sae:PCASAE", arguments=(), folds=(), saved=True, is_baseline=True,
    ),
    Architecture(
        "random", "Random", "#a7a9ad", "hourglass", "d",
        other_names=("random_sae",),
        sae_class="random_sae:RandomSAE", is_baseline=True,
    ),
    Architecture(
        "zero", "Zero", "#565a63", "bowtie", "|",
        sae_class="identity_sae:ZeroSAE", arguments=(), is_baseline=True,
    ),
    Architecture("random_l0_matched", "Random, L0 matched", "#8d99ae", "triangle-ne", "2", is_baseline=True),
    Architecture("permuted_decoder", "Decoder permuted", "#b08968", "triangle-sw", "3", is_baseline=True),
    Architecture("frozen_encoder", "Frozen random encoder", "#6d6875", "star-diamond", "4", is_baseline=True),
    Architecture("best_k", "Best latents", "#a3b18a", "star-triangle-up", "_", is_baseline=True),
    Architecture("degraded", "Degraded", "#b5838d", "diamond-wide", "+", is_baseline=True),
)  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = {row.name: row for row in _ROWS}
"""Every kind of SAE by its name in reports."""

NAMES: dict[str, str] = {name: row.name for row in _ROWS for name in (row.name, *row.other_names)}
"""Whatever configurations and tools call a kind of SAE -> its name here."""


def architecture_of_class(sae: object) -> Architecture | None:
    """The row whose class an object is of; None for a class from elsewhere."""
    return next((row for row in _ROWS if row.is_class(sae)), None)


SAE_LENS: dict[str, tuple[Architecture, SAELensForm]] = {
    name: (row, row.sae_lens) for row in _ROWS if row.sae_lens is not None for name in row.sae_lens.names
}
"""SAELens' name of an architecture that our classes compute too -> its row and how SAELens writes it."""
