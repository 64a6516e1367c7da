"""Token ids of the same texts, made by the published package and by this one, for every eval that reads texts.

python tests/parity/parity_tokens.py export --inputs IN
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path

from reference import read, run_reference
from rows import Row

TITLE = "Token ids"
LENGTH = 128
N_TEXTS, N_DOCUMENTS, N_PROMPTS = 30, 40, 120
CUTS, TOKENS_OF_A_CUT = 19, 3
"""The published packing cuts the joined text into 20 pieces; a cut within a word changes the tokens beside it."""
INTRODUCTION = f"""Both sides are fed texts and tokenise them themselves: the published package with its own functions and TransformerLens'
tokenizer, this package as its evals do. scr and tpp tokenise as sparse_probing does, autointerp packs with the function of
unlearning's corpora, mdl packs as core does; sae-probes reads its own files ([page](sparse_probing_sae_probes.md)), meta_structure
reads no texts. SmolLM2's tokenizer adds no BOS by itself; tokenizers that do are not compared here. Packed rows differ by design
([deviations](../deviations.md)): the tokens of the documents, special tokens left out, have to be the same in the same order; where the
published function cuts the text into pieces, up to {TOKENS_OF_A_CUT} tokens a cut may differ. Where rows begin is stated.
"""  # noqa: E501


def compare(work: Path, *, run: bool = True) -> list[Row]:
    """Texts one by one, then packed rows."""
    inputs = work / "in"
    if run:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run([sys.executable, __file__, "export", "--inputs", inputs], check=True, env=environment)
        run_reference(
            "run_tokens.py", "--model", inputs / "model", "--texts", inputs / "tokens_texts.json",
            "--out", work / "tokens_reference.json",
        )  # fmt: skip
    theirs, given = read(work / "tokens_reference.json"), read(inputs / "tokens_texts.json")
    ours = given["ours"]
    rows = [
        _alike(what, theirs[name], ours[name])
        for name, what in (
            ("labelled", "sparse_probing, scr, tpp: texts with the same ids, cut to the context"),
            ("ravel", "ravel: prompts with the same ids"),
            ("unlearning_prompts", "unlearning: prompts in a chat template with the same ids"),
        )
    ]
    same = sum(a[: len(b)] == b for a, b in zip(theirs["absorption"], ours["absorption"], strict=True))
    n = len(ours["absorption"])
    rows.append(Row("absorption: prompts with the same ids up to the word", n, same, "all", same == n))
    special = set(given["special_ids"])
    rows += _packed("core, mdl", theirs["core"], ours["core"], special, cuts=0)
    rows += _packed("autointerp, unlearning", theirs["concatenated"], ours["concatenated"], special, cuts=CUTS)
    return rows


def _alike(what: str, theirs: Sequence[list[int]], ours: Sequence[list[int]]) -> Row:
    same = sum(a == b for a, b in zip(theirs, ours, strict=True))
    return Row(what, len(theirs), same, "all", same == len(theirs))


def _packed(
    what: str, theirs: Sequence[list[int]], ours: Sequence[list[int]], special: set[int], *, cuts: int
) -> Iterator[Row]:
    n = min(len(theirs), len(ours))
    streams = [[token for row in side for token in row if token not in special] for side in (theirs, ours)]
    a, b = (stream[: min(map(len, streams))] for stream in streams)
    same = sum(block.size for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
    allowed = n + cuts * TOKENS_OF_A_CUT  # one token of each of our rows gave way to BOS
    yield Row(f"{what}: tokens of the documents, in order", len(a), same, f"{allowed} fewer", len(a) - same <= allowed)
    begin = [sum(row[0] in special for row in side[:n]) for side in (theirs, ours)]
    yield Row(f"{what}: rows of {n} that begin with BOS", *begin, "equal", begin[0] == begin[1])
    inside = [sum(token in special for row in side[:n] for token in row[1:]) for side in (theirs, ours)]
    yield Row(f"{what}: special tokens within {n} rows", *inside, "stated", True)
    equal = sum(x == y for x, y in zip(theirs, ours, strict=False))
    yield Row(f"{what}: rows with the same ids", n, equal, "stated", True)


# ---- our side


def export(args: argparse.Namespace) -> None:
    """The texts, and what this package makes of them."""
    from our_side import write_json

    from sae_bench.datasets import load_corpus, load_labelled
    from sae_bench.datasets.entities import load_entity_class
    from sae_bench.datasets.packing import pack_corpus
    from sae_bench.evals.absorption.eval_config import WORD, AbsorptionEvalConfig
    from sae_bench.evals.absorption.prompts import build_prompts
    from sae_bench.evals.absorption.words import letter_words
    from sae_bench.evals.ravel.prompts import questions_of, tokenize_questions
    from sae_bench.evals.unlearning.prompts import prompt_token_ids
    from sae_bench.language_models import load_language_model

    lm = load_language_model(str(args.inputs / "model"), dtype="float32", device="cpu")
    labelled = [
        text
        for name in ("embedded/news_topics", "embedded/code_languages", "embedded/amazon_stars")
        for of_class in load_labelled(name, train_set_size=40, test_set_size=8, seed=42).train.values()
        for text in of_class[:N_TEXTS]
    ]
    documents = [text for text in islice(load_corpus("embedded"), 4 * N_DOCUMENTS) if len(text) > 100][:N_DOCUMENTS]
    questions = questions_of(
        load_entity_class("embedded/cities", "city"), ["Country", "Continent"], downsample=N_PROMPTS
    )
    chats = [
        f"{lm.tokenizer.bos_token}<start_of_turn>user\n{text[:200]}<end_of_turn>\n<start_of_turn>model\n"
        for text in labelled[:N_TEXTS]
    ]
    config = AbsorptionEvalConfig(max_words=900)
    rest = config.prompt_template.partition(WORD)[2]
    cut = [list(ids) for ids in build_prompts(lm, letter_words(lm, config).words, config).token_ids[:N_PROMPTS]]
    spoken = [lm.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in cut]
    n_tokens = sum(len(ids) for ids in lm.tokenizer(documents, add_special_tokens=False)["input_ids"])
    rows = pack_corpus(documents, lm, n_rows=n_tokens // LENGTH, context_length=LENGTH).tolist()
    write_json(
        args.inputs / "tokens_texts.json",
        {
            "length": LENGTH,
            "special_ids": sorted(lm.special_token_ids),
            "labelled": labelled,
            "documents": documents,
            "ravel": [[q.entity, q.attribute, q.template, q.value] for q in questions],
            "unlearning_prompts": chats,
            "absorption": [text + rest for text in spoken],
            "ours": {
                "labelled": list(lm.tokenize(labelled, max_length=LENGTH)),
                "ravel": [prompt.ids for prompt in tokenize_questions(lm, questions)],
                "unlearning_prompts": prompt_token_ids(lm, chats),
                "absorption": cut,
                "core": rows,
                "concatenated": rows,
            },
        },
    )


def main() -> None:
    """Run the export of our side."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("export",))
    parser.add_argument("--inputs", type=Path, required=True)
    export(parser.parse_args())


if __name__ == "__main__":
    main()
