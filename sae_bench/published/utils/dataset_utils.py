"""Texts and their tokens, under their published names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.datasets import CorpusSpec, load_corpus, load_labelled
from sae_bench.datasets.packing import document_tokens
from sae_bench.datasets.registry import labelled_spec, list_datasets
from sae_bench.errors import DatasetError, UnknownNameError
from sae_bench.published.utils.dataset_info import AMAZON

logger = logging.getLogger(__name__)

TextsByClass = dict[str, list[str]]


@dataclass
class _Encoder:
    """A tokenizer, and whether rows start with BOS."""

    tokenizer: Any
    bos_token_id: int | None
    prepend_bos: bool


# ---- corpora


def get_dataset_list_of_strs(dataset_name: str, column_name: str, min_row_chars: int, total_chars: int) -> list[str]:
    """Texts longer than `min_row_chars` from the start of a corpus, until they have `total_chars` together."""
    corpus: str | CorpusSpec = dataset_name
    if dataset_name not in list_datasets("corpus"):
        path = Path(dataset_name) if Path(dataset_name).exists() else None
        corpus = CorpusSpec(name=dataset_name, description="Texts of one column.", text_column=column_name, path=path)
    texts, n_chars = [], 0
    for text in load_corpus(corpus):
        if len(text) > min_row_chars:
            texts.append(text)
            n_chars += len(text)
            if n_chars > total_chars:
                break
    return texts


def load_and_tokenize_dataset(
    dataset_name: str, ctx_len: int, num_tokens: int, tokenizer: Any, column_name: str = "text", add_bos: bool = True
) -> Int[Tensor, "N L"]:
    """Rows of `ctx_len` tokens, a little more than `num_tokens` in all. Raises `DatasetError` if there are fewer."""
    texts = get_dataset_list_of_strs(dataset_name, column_name, 100, num_tokens * 5)
    rows_NL = tokenize_and_concat_dataset(tokenizer, texts, ctx_len, add_bos=add_bos, max_tokens=num_tokens)
    if rows_NL.numel() <= num_tokens:
        raise DatasetError(f"'{dataset_name}' gave {rows_NL.numel():,} tokens, more than {num_tokens:,} are needed.")
    return rows_NL


def tokenize_and_concat_dataset(
    tokenizer: Any, dataset: Sequence[str], seq_len: int, add_bos: bool = True, max_tokens: int | None = None
) -> Int[Tensor, "N L"]:
    """Texts joined by token ids, EOS between them, cut into whole rows, the first token of each replaced by BOS.

    With `max_tokens` the rows go on until they hold more than that, if the texts do.
    """
    encoder = _Encoder(tokenizer, tokenizer.bos_token_id, add_bos)
    enough = None if max_tokens is None else max_tokens + seq_len + 1
    ids: list[int] = []
    for _text, document in document_tokens(dataset, encoder):
        ids.extend(document)
        if enough is not None and len(ids) >= enough:
            break
    n_rows = len(ids[:enough]) // seq_len
    rows_NL = torch.tensor(ids[: n_rows * seq_len], dtype=torch.long).view(n_rows, seq_len)
    if add_bos:
        if tokenizer.bos_token_id is None:
            raise DatasetError("add_bos is set, but this tokenizer has no BOS token. Next: add_bos=False.")
        rows_NL[:, 0] = tokenizer.bos_token_id
    return rows_NL


# ---- labelled texts


def get_multi_label_train_test_data(
    dataset_name: str, train_set_size: int, test_set_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """Training and test texts of each class; the sizes are those of a balanced task of one class against another."""
    drawn = load_labelled(dataset_name, train_set_size=train_set_size, test_set_size=test_set_size, seed=random_seed)
    return drawn.train, drawn.test


def get_ag_news_dataset(
    dataset_name: str, chosen_classes: Sequence[str], train_set_size: int, test_set_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """`get_multi_label_train_test_data` for some of the topics."""
    return _some_classes(dataset_name, chosen_classes, train_set_size, test_set_size, random_seed)


def get_europarl_dataset(
    dataset_name: str, chosen_languages: Sequence[str], train_size: int, test_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """`get_multi_label_train_test_data` for some of the languages."""
    return _some_classes(dataset_name, chosen_languages, train_size, test_size, random_seed)


def get_github_code_dataset(
    dataset_name: str, chosen_classes: Sequence[str], train_size: int, test_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """`get_multi_label_train_test_data` for some of the programming languages."""
    return _some_classes(dataset_name, chosen_classes, train_size, test_size, random_seed)


def get_bias_in_bios_or_amazon_product_dataset(
    dataset_name: str, train_set_size: int, test_set_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """`get_multi_label_train_test_data` for the sets with a second attribute."""
    return get_multi_label_train_test_data(dataset_name, train_set_size, test_set_size, random_seed)


def get_amazon_sentiment_dataset(
    dataset_name: str, train_set_size: int, test_set_size: int, random_seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """`get_multi_label_train_test_data` for ratings."""
    name = dataset_name if dataset_name != AMAZON else f"{AMAZON}_sentiment"
    return get_multi_label_train_test_data(name, train_set_size, test_set_size, random_seed)


def ensure_shared_keys(
    train_data: Mapping[str, Any], test_data: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the classes that the other lacks."""
    lacking = sorted(set(train_data) ^ set(test_data))
    if lacking:
        logger.info("left out, for they are in one of the two only: %s", ", ".join(lacking))
    train = {key: value for key, value in train_data.items() if key in test_data}
    return train, {key: value for key, value in test_data.items() if key in train_data}


def filter_dataset(data: Mapping[str, list[str]], chosen_class_indices: Sequence[str]) -> TextsByClass:
    """The chosen classes, in the order given. Raises `UnknownNameError` for one that is not there."""
    for name in chosen_class_indices:
        if name not in data:
            raise UnknownNameError("class", name, data)
    return {name: data[name] for name in chosen_class_indices}


def tokenize_data_dictionary(
    data: Mapping[str, list[str]], tokenizer: Any, max_length: int, device: str
) -> dict[str, dict[str, Tensor]]:
    """Class -> `input_ids` and `attention_mask`, every text cut or padded to `max_length` tokens."""

    def encode(texts: list[str]) -> dict[str, Tensor]:
        encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=max_length, return_tensors="pt")
        return {key: value.to(device) for key, value in encoded.items()}

    return {name: encode(texts) for name, texts in data.items()}


def _some_classes(
    dataset_name: str, chosen: Sequence[str], train_size: int, test_size: int, seed: int
) -> tuple[TextsByClass, TextsByClass]:
    """Only the texts of the chosen classes are read."""
    spec = labelled_spec(dataset_name)
    for name in chosen:
        if name not in spec.classes:
            raise UnknownNameError(f"class of {dataset_name}", name, spec.classes)
    parts = {name: part for name, part in spec.parts.items() if name in chosen}
    own = spec.model_copy(update={"classes": {name: spec.classes[name] for name in chosen}, "parts": parts})
    drawn = load_labelled(own, train_set_size=train_size, test_set_size=test_size, seed=seed)
    return drawn.train, drawn.test
