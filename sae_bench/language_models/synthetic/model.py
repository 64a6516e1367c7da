"""A synthetic model with the face of a language model: a text is one sample, and its one token is the sample's number.

Whatever reads activations at a hook reads it as it reads any model. There is no language in it: what needs words,
logits or later layers is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from sae_bench.errors import HookError, ModelError, UnknownNameError, UsageError
from sae_bench.language_models.aliases import SYNTHETIC, ModelKind
from sae_bench.language_models.fingerprint import hash_of_model
from sae_bench.language_models.hooks import HookPoint, HookSite, parse_hook_name
from sae_bench.language_models.model import LanguageModel
from sae_bench.language_models.synthetic.features import CONFIG, SyntheticFeatures, make_features, read_features
from sae_bench.language_models.synthetic.parameters import NAMED, SyntheticParameters, read_parameters
from sae_bench.language_models.synthetic.samples import SampleSource
from sae_bench.language_models.token_choice import ALL_TOKENS, TokenChoice
from sae_bench.language_models.token_texts import TokenTexts

VERSION = 1
"""Of the way in which samples are drawn; raised when the same number would be another sample."""

PUBLISHED_FILES = {"16k": "decoderesearch/synth-sae-bench-16k-v1"}
"""Name of a model -> the repository with its files."""

SAMPLES_PER_SEED = 1 << 20
_SEEDS = 1 << 11
"""Token ids have 31 bits."""


class SyntheticModel(LanguageModel):
    """Samples of known features behind the face of a language model, at one hook.

    Args:
        features: what the samples are made of.
        name: `synthetic:small` and its kin.
        described: what tells its features from others; None reads every number of them.
        device, dtype: of the activations that it gives.
        origin: where the features come from, for provenance.
    """

    def __init__(
        self,
        features: SyntheticFeatures,
        *,
        name: str,
        described: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.features = features
        self.source = SampleSource(features)
        self.tokenizer = NumberReader(name)
        self.bos_token_id = None
        self.prepend_bos = False
        self.origin = dict(origin or {})
        self._device, self._dtype = torch.device(device), dtype
        self._described = described
        self._hash: str | None = None
        self._given: dict[bytes, int] | None = None

    @classmethod
    def of(
        cls,
        parameters: SyntheticParameters,
        *,
        name: str = f"{SYNTHETIC}own",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> SyntheticModel:
        """The model that parameters describe.

        Args:
            parameters: its features' number, width, probabilities, hierarchy.
            name: as results call it.
            device, dtype: of the activations that it gives.
        """
        described = json.dumps(parameters.model_dump(), sort_keys=True)
        origin = {"source": "parameters", "parameters": described}
        features = make_features(parameters)
        return cls(features, name=name, described=described, device=device, dtype=dtype, origin=origin)

    # ---- facts

    @property
    def kind(self) -> ModelKind:
        return "synthetic"

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def device_map(self) -> None:
        """It is on one device."""
        return None

    @property
    def quantisation(self) -> None:
        """Its directions are whole."""
        return None

    @property
    def config(self) -> Any:
        """Nothing that a language model's configuration would say."""
        return SimpleNamespace()

    @property
    def n_layers(self) -> int:
        return parse_hook_name(self.features.hook_name).layer + 1

    @property
    def d_model(self) -> int:
        return int(self.features.directions_GD.shape[1])

    @property
    def n_features(self) -> int:
        """How many true features there are."""
        return int(self.features.directions_GD.shape[0])

    @property
    def weight_bytes(self) -> int:
        """Bytes of the directions of all features."""
        return self.features.directions_GD.nbytes

    @property
    def d_vocab(self) -> int:
        return SAMPLES_PER_SEED * _SEEDS

    def reading(self, choice: TokenChoice, *, prepend_bos: bool | None = None) -> LanguageModel:
        """Itself: samples have no positions and no BOS. Raises `UsageError` if any are asked for."""
        if prepend_bos or choice != ALL_TOKENS:
            raise UsageError(f"'{self.name}' has samples, not texts: no BOS, no positions, no token ids to leave out.")
        return self

    @property
    def special_token_ids(self) -> frozenset[int]:
        return frozenset()

    @property
    def stop_token_ids(self) -> frozenset[int]:
        return frozenset()

    def hook_site(self, hook: str | HookPoint) -> HookSite:
        """Raises `HookError` for any hook but the one that there is."""
        name = parse_hook_name(hook).name if isinstance(hook, str) else hook.name
        if name != self.features.hook_name:
            raise HookError(
                f"'{self.name}' is a synthetic model with activations at '{self.features.hook_name}' alone; got "
                f"'{name}'. Next: --hook {self.features.hook_name}, or an SAE that sits there."
            )
        return HookSite(torch.nn.Identity(), "output")

    def fingerprint(self) -> str:
        """A short hash of what the features are and how samples are drawn; the device is no part."""
        if self._hash is None:
            drawn = f"synthetic samples {VERSION} {self.dtype} {self.features.hook_name}"
            if self._described is None:
                self._hash = hash_of_model({}, drawn, sorted(self.features.tensors().items()))
            else:
                self._hash = hashlib.sha256(f"{drawn} {self._described}".encode()).hexdigest()[:16]
        return self._hash

    # ---- samples

    def numbers(self, seed: int, n: int, *, start: int = 0) -> Int[Tensor, " n"]:
        """Numbers of `n` samples of a seed, which no other seed below 2,048 has; they are also their token ids.

        Args:
            seed: whose samples.
            n, start: how many, and the first of them.
        Raises:
            UsageError: a seed has not so many samples.
        """
        if start + n > SAMPLES_PER_SEED:
            raise UsageError(f"a seed of a synthetic model has {SAMPLES_PER_SEED:,} samples; {start + n:,} are needed.")
        first = seed % _SEEDS * SAMPLES_PER_SEED + start
        return torch.arange(first, first + n)

    def activity(self, numbers: Int[Tensor, " B"]) -> sparse.csr_matrix:
        """Values of the true features (B, G) in samples by number, 0 where a feature is off."""
        return self.source.activity(numbers.cpu().numpy())

    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The samples of these numbers as texts of one token."""
        return [str(number) for number in numbers]

    def tokenize(self, texts: Sequence[str], *, max_length: int | None = None) -> TokenTexts:
        del max_length
        return TokenTexts(self.tokenizer(texts)["input_ids"])

    def capture(self, input_ids_BL: Int[Tensor, "B L"], hooks: Sequence[str], **others: Any) -> dict[str, Tensor]:
        """Activations (B, L, D) of the samples that the token ids name; nothing else is taken."""
        if any(value is not None for key, value in others.items() if key != "attention_mask_BL"):
            self._refuse(f"cannot be run with {', '.join(others)}")
        for hook in hooks:
            self.hook_site(hook)
        if not hooks:
            return {}
        x_ND = torch.from_numpy(self.source.activations(input_ids_BL.flatten().cpu().numpy()))
        x_BLD = x_ND.view(*input_ids_BL.shape, -1).to(device=self.device, dtype=self.dtype)
        if self._given is not None:
            rows = x_BLD.flatten(0, 1).float().cpu().numpy()
            self._given.update(zip((row.tobytes() for row in rows), input_ids_BL.flatten().tolist(), strict=True))
        return dict.fromkeys(hooks, x_BLD)

    def remember(self) -> None:
        """From now on keep which sample every activation is that is given."""
        self._given = {} if self._given is None else self._given

    def remembered(self, x_ND: Float[Tensor, "N D"]) -> sparse.csr_matrix:
        """Values of the features (N, G) in the samples that have just these activations.

        Raises:
            UsageError: an activation was not given since `remember`, or has been changed or cast to another dtype.
        """
        given, rows = self._given or {}, x_ND.detach().float().cpu().numpy()
        numbers = [given.get(row.tobytes()) for row in rows]
        if None in numbers:
            raise UsageError(
                f"{numbers.count(None)} of {len(numbers)} vectors are no activations that '{self.name}' has given; the "
                "oracle knows no others. Next: run it on that model, in the model's dtype."
            )
        return self.source.activity(np.array(numbers, dtype=np.int64))

    # ---- what it does not have

    def shares_beginnings(self) -> bool:
        return False

    def reads_on(self) -> bool:
        return False

    @property
    def unembeds_in_parts(self) -> bool:
        return False

    def final_hidden(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse("has no layers after its activations")

    def unembed(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse("predicts no tokens")

    def unembed_in_parts(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse("predicts no tokens")

    def _refuse(self, why: str) -> NoReturn:
        raise UsageError(f"'{self.name}' is a synthetic model and {why}. Next: take a language model for this.")


class NumberReader:
    """In the place of a tokenizer: a text is the number of a sample.

    Args:
        name: of the model, for errors.
    """

    pad_token_id = bos_token_id = eos_token_id = None

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, texts: Sequence[str], **_options: Any) -> dict[str, list[list[int]]]:
        """One token id per text.

        Raises:
            UsageError: a text is no number of a sample.
        """
        last = SAMPLES_PER_SEED * _SEEDS
        for text in texts:
            if not (text.isascii() and text.isdigit() and int(text) < last):
                shown = text if len(text) <= 40 else f"{text[:37]}..."
                raise UsageError(
                    f"'{self.name}' is a synthetic model: its texts are numbers of samples, not words; got '{shown}'. "
                    "Next: take the settings that synthetic models have by default, or a language model."
                )
        return {"input_ids": [[int(text)] for text in texts]}


def load_synthetic(
    name: str, *, device: torch.device, dtype: torch.dtype, data_dir: str | Path | None = None
) -> SyntheticModel:
    """The synthetic model `synthetic:<small | 16k | YAML file | folder of a published model>`.

    A named model with published files is read from them if `data_dir` has them, and made from its parameters else.

    Args:
        name: with its `synthetic:`.
        device, dtype: of the activations that it gives.
        data_dir: a mirror of hub repositories.
    Raises:
        UnknownNameError, UsageError, ModelError: there is no such model, or its file is wrong.
    """
    rest = name.removeprefix(SYNTHETIC)
    files = None if data_dir is None else Path(data_dir).expanduser() / PUBLISHED_FILES.get(rest, rest)
    for folder in (Path(rest).expanduser(), files):
        if folder is not None and (folder / CONFIG).is_file():
            features = read_features(folder)
            return SyntheticModel(
                features, name=name, device=device, dtype=dtype, origin={"source": "path", "location": str(folder)}
            )
    if rest in NAMED:
        return SyntheticModel.of(NAMED[rest], name=name, device=device, dtype=dtype)
    path = Path(rest).expanduser()
    if path.is_dir():
        raise ModelError(f"'{rest}' holds no synthetic model: {CONFIG} is missing. Next: a folder of a published one.")
    if not path.is_file():
        hint = "A synthetic model is one of these, a YAML file of parameters, or a folder of a published model."
        raise UnknownNameError("synthetic model", rest, NAMED, hint)
    return SyntheticModel.of(read_parameters(path), name=name, device=device, dtype=dtype)


def is_on(activity: sparse.csr_matrix) -> np.ndarray:
    """Which features (B, G) are on, dense."""
    return activity.toarray() > 0
