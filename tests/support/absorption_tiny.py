"""A tiny model whose vocabulary has words, and letters planted in activations and codes."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sae_bench.evals.absorption.words import LetterWords, group_words
from sae_bench.language_models import LanguageModel

HOOK = "blocks.1.hook_resid_post"
MANY = "abc"
"""Letters with twelve words, each alone and after a space; d has three."""
TEMPLATE = "{word} has the first letter:"
TINY: dict[str, Any] = {"min_words_per_letter": 20, "max_icl_examples": 3, "max_k_value": 3}


def vocabulary() -> list[str]:
    endings = ("asu", "ern", "ilo", "omt", "upy", "yxe", "ras", "nep", "lik", "tov", "pun", "sym")
    stems = [letter + ending for letter in MANY for ending in endings] + ["dasu", "dern", "dilo"]
    return [space + stem for stem in stems for space in ("", " ")]


@cache
def word_tokenizer(kind: str, *, bos: bool) -> Any:
    """A real tokenizer that has every word as one token: `byte` (byte-level BPE) or `sentencepiece` (Metaspace)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    names = {"eos_token": "<eos>", "pad_token": "<pad>"} | ({"bos_token": "<bos>"} if bos else {})
    tokenizer = Tokenizer(models.BPE())
    if kind == "byte":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
        alphabet = ["\n", ":", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<bos>", "<eos>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*vocabulary(), " has", " the", " first", " letter", " letter:"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


@cache
def word_model(kind: str = "byte", *, bos: bool = True, family: str = "llama") -> LanguageModel:
    """A random 3-layer model of d_model 32 with that tokenizer."""
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

    tokenizer = word_tokenizer(kind, bos=bos)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    }  # fmt: skip
    config = MistralConfig(**sizes, sliding_window=8) if family == "windowed" else LlamaConfig(**sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.mul_(20.0 if "embed" in name else 8.0)
    return LanguageModel(model, tokenizer, name=f"tiny-words-{kind}")


# ---- planted letters

N_LETTERS, PER_LETTER, WIDTH = 3, 150, 48
STRENGTH = 4.0


def planted_words() -> LetterWords:
    """Words of three letters."""
    words = [f"{MANY[i % N_LETTERS]}w{i:03d}" for i in range(N_LETTERS * PER_LETTER)]
    return group_words(words, min_per_letter=20, n_whole=len(words), n_not_whole=0)


def planted_activations(words: LetterWords, *, noise: float = 0.05) -> Tensor:
    """4 e_letter, features of the words in the other dimensions, and a little noise everywhere."""
    generator = torch.Generator().manual_seed(1)
    x_WD = noise * torch.randn(len(words.words), WIDTH, generator=generator)
    x_WD[torch.arange(len(words.words)), words.labels_W] += STRENGTH
    return x_WD + word_parts(words)


def word_parts(words: LetterWords) -> Tensor:
    """What is special about every word: nothing that tells letters apart."""
    generator = torch.Generator().manual_seed(2)
    part_WD = torch.randn(len(words.words), WIDTH, generator=generator)
    part_WD[:, :N_LETTERS] = 0.0
    return 0.4 * part_WD / part_WD.norm(dim=1, keepdim=True)


def absorbed_words(words: LetterWords, share: float) -> Tensor:
    """The first words of every letter, as a mask."""
    place_W = torch.arange(len(words.words)) // N_LETTERS
    return place_W < round(share * PER_LETTER)


class PlantedSAE:
    """Latents 0 to 2 stand for the letters; then every word has one of its own.

    The letter's latent of an absorbed word is off (or at `left` of its strength); the word's latent makes up for it.

    Args:
        absorbed_W: which words are absorbed.
        left: what is left of the letter's latent on them, as a share.
    """

    def __init__(self, words: LetterWords, x_WD: Tensor, absorbed_W: Tensor, *, left: float = 0.0) -> None:
        self.x_WD = x_WD
        n_words = len(words.words)
        letter_WD = torch.nn.functional.one_hot(words.labels_W, WIDTH).float()
        taken_W = torch.where(absorbed_W, (1 - left) * STRENGTH, 0.0)
        own_WD = word_parts(words) + taken_W[:, None] * letter_WD
        self.strength_W = own_WD.norm(dim=1)
        self.W_dec = torch.cat([torch.eye(WIDTH)[:N_LETTERS], own_WD / self.strength_W[:, None]])
        self.codes_WF = torch.zeros(n_words, N_LETTERS + n_words)
        every = torch.arange(n_words)
        self.codes_WF[every, words.labels_W] = STRENGTH - taken_W
        self.codes_WF[every, N_LETTERS + every] = self.strength_W
        self.cfg = SimpleNamespace(d_in=WIDTH, d_sae=self.W_dec.shape[0], hook_name=HOOK, model_name="", hook_layer=1)

    def encode(self, x_ND: Tensor) -> Tensor:
        nearest_N = torch.cdist(x_ND.float(), self.x_WD).argmin(dim=1)
        return self.codes_WF[nearest_N]

    def decode(self, f_NF: Tensor) -> Tensor:
        return f_NF @ self.W_dec
