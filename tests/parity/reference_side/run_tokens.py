"""Token ids that the published package makes of given texts, eval by eval; one JSON file.

Replaced: where texts come from. The tokenizer is the one that TransformerLens gives its models (ravel: transformers'
own, as published); no model runs, so a random one of one layer carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import adapters
import harness
import torch


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    harness.start_logging()
    harness.require_reference()
    given = harness.read_json(args.texts)
    with harness.output_to(None if args.verbose else args.out.with_suffix(".log")):
        model = tokenizing_model(args.model)
        report = {
            "versions": harness.versions(),
            "labelled": labelled(model, given["labelled"], given["length"]),
            "ravel": ravel(adapters.load_tokenizer(args.model), given["ravel"]),
            "unlearning_prompts": [model.to_tokens(text, prepend_bos=False)[0] for text in given["unlearning_prompts"]],
            "absorption": [model.to_tokens(text)[0] for text in given["absorption"]],
            "core": core(model, given["documents"], given["length"]),
            "concatenated": harness.reference("sae_bench_utils.dataset_utils").tokenize_and_concat_dataset(
                model.tokenizer, given["documents"], seq_len=given["length"]
            ),
        }
    harness.write_json(args.out, {key: as_lists(value) for key, value in report.items()})


def tokenizing_model(folder: Path) -> Any:
    """A TransformerLens model of random weights that holds the tokenizer of a folder."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    tokenizer = adapters.load_tokenizer(folder)
    architecture = harness.read_json(folder / "config.json")["architectures"][0]
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, d_head=4, n_heads=2, n_ctx=2048, d_vocab=len(tokenizer), act_fn="relu",
        original_architecture=architecture,
    )  # fmt: skip
    return HookedTransformer(cfg, tokenizer, default_padding_side="right")


def labelled(model: Any, texts: Sequence[str], length: int) -> list[list[int]]:
    """Texts of the probing evals: what is not padding."""
    utils = harness.reference("sae_bench_utils.dataset_utils")
    found = utils.tokenize_data_dictionary({"all": list(texts)}, model.tokenizer, length, "cpu")["all"]
    return [ids[mask.bool()].tolist() for ids, mask in zip(found["input_ids"], found["attention_mask"], strict=True)]


def ravel(tokenizer: Any, questions: Sequence[Sequence[str]]) -> list[list[int]]:
    """Prompts of RAVEL, tokenised one at a time as an instance builds them."""
    instance_class = harness.reference("evals.ravel.instance").RAVELInstance
    found = []
    for entity, attribute, template, value in questions:
        instance = instance_class()
        instance.entityLBL_attrTYP_attrLBL = {entity: {attribute: value}}
        instance.attribute_type_to_templates = {attribute: [template]}
        instance.template_splits, instance.entity_splits = {template: "train"}, {entity: "train"}
        (prompt,) = instance.build_and_tokenize_prompts(tokenizer)
        found.append(prompt.input_ids)
    return found


def core(model: Any, documents: Sequence[str], length: int) -> list[list[int]]:
    """Rows of SAELens' token store as the core eval makes it, to the end of the documents."""
    from datasets import Dataset

    metadata = SimpleNamespace(
        hook_name="blocks.0.hook_resid_post", hook_head_index=None, context_size=length, prepend_bos=True,
        seqpos_slice=None,
    )  # fmt: skip
    cfg = SimpleNamespace(d_in=8, metadata=metadata, normalize_activations="none", dtype="float32")
    store = harness.reference("evals.core.main").ActivationsStore.from_sae(
        model, SimpleNamespace(cfg=cfg), context_size=length, dataset=Dataset.from_dict({"text": list(documents)})
    )
    with torch.no_grad():
        return [row.tolist() for row in bounded(store, len(documents))]


def bounded(store: Any, n_documents: int) -> Any:
    """Rows until the store has read all documents; it would start again at the first."""
    for row in store.iterable_sequences:
        if store.n_dataset_processed >= n_documents:
            return
        yield row


def as_lists(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return value
    return [as_lists(of) if isinstance(of, torch.Tensor) else of for of in value]


def parse(argv: list[str] | None) -> Any:
    parser = harness.base_parser(__doc__ or "")
    parser.add_argument("--texts", type=Path, required=True, help="tokens_texts.json: texts by eval")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
