"""The published functions that load one SAE from a hub repository; a local directory is taken in its place.

`sae_bench.custom_saes.spec.resolve_spec` finds all SAEs of a repository, of any format.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

import torch

from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.batch_topk_sae import BatchTopKSAE
from sae_bench.custom_saes.files import download, find_repository, layer_of, read_json
from sae_bench.custom_saes.gated_sae import GatedSAE
from sae_bench.custom_saes.jumprelu_sae import JumpReluSAE
from sae_bench.custom_saes.loaders import gemma_scope
from sae_bench.custom_saes.loaders.dictionary_learning import (
    CONFIG,
    WEIGHTS,
    hook_from_config,
    layout_of,
    load_folder,
    trainer_of,
)
from sae_bench.custom_saes.relu_sae import ReluSAE
from sae_bench.custom_saes.topk_sae import TopKSAE
from sae_bench.errors import SAELoadError, SAEMismatchError
from sae_bench.language_models.aliases import same_model

SAET = TypeVar("SAET", bound=BaseSAE)
SAET_co = TypeVar("SAET_co", bound=BaseSAE, covariant=True)


@runtime_checkable
class LoadTrained(Protocol[SAET_co]):
    """A function that loads one SAE of a dictionary_learning repository."""

    def __call__(
        self,
        repo_id: str,
        filename: str,
        model_name: str,
        device: torch.device | str,
        dtype: torch.dtype,
        layer: int | None = None,
        local_dir: str = "downloaded_saes",
    ) -> SAET_co:
        """Load one SAE.

        Args:
            repo_id: hub repository, or a local directory in its layout.
            filename: path of the `ae.pt` in it.
            model_name: the model that the SAE must have been trained on.
            device: where its weights are put.
            dtype: what its weights are cast to.
            layer: the layer that it must have been trained on; None takes any.
            local_dir: folder for what is downloaded.

        Raises:
            SAELoadError: files are missing or broken.
            SAEMismatchError: the SAE is of another class, model or layer.
        """
        ...


def _loader(name: str, sae_class: type[SAET], *, threshold: bool = False) -> LoadTrained[SAET]:
    def load(
        repo_id: str,
        filename: str,
        model_name: str,
        device: torch.device | str,
        dtype: torch.dtype,
        layer: int | None = None,
        local_dir: str = "downloaded_saes",
    ) -> SAET:
        if not filename.endswith(WEIGHTS):
            raise SAELoadError(f"'{filename}' does not name an {WEIGHTS} file.")
        config_name = filename.removesuffix(WEIGHTS) + CONFIG
        folder = find_repository(repo_id, data_dir=None)
        weights, config_path = (
            download(repo_id, name, local_dir=local_dir) if folder is None else folder / name
            for name in (filename, config_name)
        )
        config = read_json(config_path)
        trainer = trainer_of(config, source=config_path)
        trained_layer = layer_of(hook_from_config(config, source=config_path))
        if layer is not None and layer != trained_layer:
            raise SAEMismatchError(f"'{config_path}' is of layer {trained_layer}, layer {layer} was asked.")
        trained_on = str(trainer.get("lm_name", ""))
        if model_name not in trained_on and not same_model(model_name, trained_on):
            raise SAEMismatchError(f"'{config_path}' was trained on '{trained_on}', not on '{model_name}'.")
        trained_class = layout_of(trainer).architecture.load_class()
        if trained_class is not sae_class:
            raise SAEMismatchError(
                f"'{config_path}' is of class {trained_class.__name__}, {sae_class.__name__} was asked."
            )
        sae = load_folder(weights, config, device=device, dtype=dtype, use_threshold=threshold, model_name=model_name)
        assert isinstance(sae, sae_class)
        return sae

    load.__name__ = load.__qualname__ = name
    load.__doc__ = f"A {sae_class.__name__} of a dictionary_learning repository; see `LoadTrained`."
    return load


load_dictionary_learning_relu_sae = _loader("load_dictionary_learning_relu_sae", ReluSAE)
load_dictionary_learning_batch_topk_sae = _loader("load_dictionary_learning_batch_topk_sae", BatchTopKSAE)
load_dictionary_learning_matryoshka_batch_topk_sae = _loader(
    "load_dictionary_learning_matryoshka_batch_topk_sae", BatchTopKSAE
)
load_dictionary_learning_jump_relu_sae = _loader("load_dictionary_learning_jump_relu_sae", JumpReluSAE)
load_dictionary_learning_gated_sae = _loader("load_dictionary_learning_gated_sae", GatedSAE)
_with_k = _loader("load_dictionary_learning_topk_sae", TopKSAE)
_with_threshold = _loader("load_dictionary_learning_topk_sae", TopKSAE, threshold=True)


def load_dictionary_learning_topk_sae(
    repo_id: str,
    filename: str,
    model_name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    layer: int | None = None,
    local_dir: str = "downloaded_saes",
    use_threshold_at_inference: bool = False,
) -> TopKSAE:
    """A TopKSAE of a dictionary_learning repository; see `LoadTrained`.

    Args:
        use_threshold_at_inference: encode with the learned threshold in place of the k largest latents.
    """
    load = _with_threshold if use_threshold_at_inference else _with_k
    return load(repo_id, filename, model_name, device, dtype, layer, local_dir)


def load_gemma_scope_jumprelu_sae(
    repo_id: str,
    filename: str,
    layer: int,
    model_name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    local_dir: str = "downloaded_saes",
) -> JumpReluSAE:
    """A Gemma Scope SAE (`.../params.npz`), from a hub repository or a local directory.

    Args:
        repo_id: hub repository, or a local directory in its layout.
        filename: path of the `params.npz` in it.
        layer: the layer after which the SAE reads the residual stream.
        model_name: written into the SAE's `cfg`.
        device: where its weights are put.
        dtype: what its weights are cast to.
        local_dir: folder for what is downloaded.

    Raises:
        SAELoadError: the file is missing or broken.
    """
    path = gemma_scope.fetch(repo_id, filename, local_dir=local_dir)
    return gemma_scope.read_params(path, model_name=model_name, hook_layer=layer, device=device, dtype=dtype)
