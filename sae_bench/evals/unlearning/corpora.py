"""Forget and retain texts, packed into rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from sae_bench.datasets import corpus_provenance, embedded, everyday, geography, load_corpus
from sae_bench.datasets.multiple_choice import EVERYDAY, GEOGRAPHY
from sae_bench.datasets.packing import shuffled
from sae_bench.datasets.sources import Origin
from sae_bench.datasets.spec import CorpusSpec
from sae_bench.errors import DatasetError, PrerequisiteError
from sae_bench.language_models import LanguageModel
from sae_bench.seeding import named_generator

BIO_FORGET = "bio-forget-corpus"
BIO_FORGET_FILE = f"{BIO_FORGET}.jsonl"
BIO_FORGET_REPO = "cais/wmdp-bio-forget-corpus"
BIO_FORGET_REQUEST = f"https://huggingface.co/datasets/{BIO_FORGET_REPO}"
PUBLISHED_FOLDER = Path("sae_bench") / "evals" / "unlearning" / "data"
"""Where users of the published code keep the gated corpus, relative to the folder they stand in."""

ALIASES = {"wikitext": "Salesforce/wikitext:wikitext-2-raw-v1"}
EVERYDAY_FILES = ("102_twt_emotion", "111_yelp_data", "113_movie_sent", "158_code_C", "86_social_iqa", "48_cm_correct")
"""Texts of the embedded corpus that are seldom about places: tweets, reviews, code, everyday situations."""
MIN_CHARS = 50
"""Texts must be longer than this, as in the published code."""
_TOKENIZE_AT_ONCE = 256
_SHUFFLE_BUFFER = 100_000


@dataclass(frozen=True)
class TextSource:
    """Texts that are read only as far as they are taken, and where they come from."""

    texts: Iterator[str]
    provenance: dict[str, str]


def open_texts(name: str, *, data_dir: Path | None = None) -> TextSource:
    """The texts of a forget or retain corpus.

    Args:
        name: `bio-forget-corpus`, `wikitext`, `embedded/geography`, `embedded/everyday`, any known corpus, or the path
            of a file.
    Raises:
        PrerequisiteError: the gated corpus is not there; the message says where to ask for it and where to put it.
        UnknownNameError, DatasetError: as `load_corpus`.
    """
    if name == GEOGRAPHY:
        geography.data_folder()  # a missing package shows here, not at the first text
        origin = Origin("package", geography.REQUIREMENT, geography.installed_version())
        return TextSource(_long_enough(geography.texts()), origin.provenance())
    if name == EVERYDAY:
        embedded.data_folder()
        origin = Origin("package", embedded.REQUIREMENT, embedded.installed_version())
        return TextSource(_long_enough(_everyday_texts()), {**origin.provenance(), "files": ", ".join(EVERYDAY_FILES)})
    if name == BIO_FORGET:
        return _open_gated(data_dir)
    return _open_corpus(ALIASES.get(name, name), data_dir)


def _open_corpus(corpus: str | CorpusSpec, data_dir: Path | None) -> TextSource:
    texts = load_corpus(corpus, data_dir=data_dir)
    return TextSource(_long_enough(texts), corpus_provenance(corpus, data_dir=data_dir))


def _long_enough(texts: Iterable[str]) -> Iterator[str]:
    return (text for text in texts if len(text) > MIN_CHARS)


def _everyday_texts() -> Iterator[str]:
    """Statements of everyday facts in turn with texts of the files, each file's in turn; ends with the first file."""
    columns = [embedded.read_task(name)["prompt"].str[: embedded.MAX_CORPUS_CHARS] for name in EVERYDAY_FILES]
    for statements, *others in zip(everyday.texts(), *columns, strict=False):
        yield from (statements, *others)


def _open_gated(data_dir: Path | None) -> TextSource:
    """The gated corpus: the file that was handed out, else a copy of its repository, else the hub for who is let in."""
    folders = [PUBLISHED_FOLDER] if data_dir is None else [data_dir / BIO_FORGET_REPO, data_dir, PUBLISHED_FOLDER]
    candidates = [folder / BIO_FORGET_FILE for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return _open_corpus(str(candidate), data_dir)
    gated = CorpusSpec(name=BIO_FORGET, description="Texts to be unlearned.", repo=BIO_FORGET_REPO)
    try:
        return _open_corpus(gated, data_dir)
    except (DatasetError, PrerequisiteError) as error:
        raise PrerequisiteError(
            f"the forget corpus '{BIO_FORGET}' is handed out on request only and was not found (looked for "
            f"{', '.join(map(str, candidates))}; {error}) Next: ask for it at {BIO_FORGET_REQUEST} and log in with "
            f"`hf auth login`, or put the file {BIO_FORGET_FILE} into one of these places or name its path as "
            f"forget_corpus; or unlearn another topic with forget_corpus and forget_dataset, such as {GEOGRAPHY}."
        ) from error


def sampled(texts: Iterable[str], n: int, *, name: str, seed: int) -> Iterator[str]:
    """`n` of the texts in random order (all of them, if there are no more)."""
    label = Path(name).name if Path(name).is_file() else name  # a file draws alike wherever it lies
    draw = int(torch.randint(2**31, (1,), generator=named_generator("unlearning", label, "documents", seed)))
    return islice(shuffled(texts, draw, _SHUFFLE_BUFFER), n)


def pack(
    texts: Iterable[str], lm: LanguageModel, *, name: str, length: int, max_rows: int | None = None
) -> Int[Tensor, "N L"]:
    """Join texts by token ids, one EOS between them, and cut them into whole rows.

    The first token of every row gives way to BOS where the model takes one.

    Args:
        max_rows: read only as many texts as fill so many rows; None reads all.
    Raises:
        DatasetError: the texts do not fill one row.
    """
    separator = [lm.tokenizer.eos_token_id] if lm.tokenizer.eos_token_id is not None else []
    source = iter(texts)
    parts: list[Tensor] = []
    n_tokens = 0
    while (max_rows is None or n_tokens < max_rows * length) and (batch := list(islice(source, _TOKENIZE_AT_ONCE))):
        documents = lm.tokenizer(batch, add_special_tokens=False, padding=False, verbose=False)["input_ids"]
        parts.append(torch.tensor([token for ids in documents for token in (*ids, *separator)], dtype=torch.int32))
        n_tokens += len(parts[-1])
    n_rows = n_tokens // length if max_rows is None else min(max_rows, n_tokens // length)
    if n_rows == 0:
        raise DatasetError(
            f"the corpus '{name}' has {n_tokens:,} tokens in texts of more than {MIN_CHARS} characters; one row "
            f"takes {length:,}. Next: give a shorter seq_len, or name a larger corpus."
        )
    rows = torch.cat(parts)[: n_rows * length].long().view(n_rows, length)
    if lm.prepend_bos and lm.bos_token_id is not None:
        rows[:, 0] = lm.bos_token_id
    return rows


def sampled_rows(rows_NL: Int[Tensor, "N L"], n: int, *, name: str, seed: int) -> Int[Tensor, "M L"]:
    """`n` of the rows in random order (all of them, if there are no more)."""
    generator = named_generator("unlearning", name, "rows", seed)
    return rows_NL[torch.randperm(len(rows_NL), generator=generator)[:n]]
