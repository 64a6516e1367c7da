"""Activations with planted concepts, dictionaries that find or miss them, and what scr and tpp make of both."""

import torch
from torch.nn.functional import one_hot

from sae_bench.activations.pooled import CodeMatrix
from sae_bench.evals.families.labelled import PooledDataset
from sae_bench.evals.scr_and_tpp import scr, tpp
from sae_bench.evals.scr_and_tpp.ablation import all_shifts
from sae_bench.evals.scr_and_tpp.texts import QUADRANTS
from sae_bench.probes import AdamWSettings

D = 24
TRAIN, TEST = 40, 30
SETTINGS = AdamWSettings(batch_size=16, epochs=12, lr=0.1, l1_penalty=0.03, patience=12)


def pair_and_activations(seed=0, *, strength=(1.0, 3.0)):
    """One pair; channel 0 tells the class, channel 1, stronger, the attribute, the others are noise."""
    generator = torch.Generator().manual_seed(seed)
    rows, signs, start = {"train": {}, "test": {}}, [], 0
    for split, size in (("train", TRAIN), ("test", TEST)):
        for c, b in QUADRANTS:
            n = size * (2 if c == b else 1)
            rows[split][c, b] = torch.arange(start, start + n)
            signs.append(torch.tensor([[1.0 - 2 * c, 1.0 - 2 * b]]).repeat(n, 1))
            start += n
    x_TD = 0.45 * torch.randn(start, D, generator=generator)
    x_TD[:, :2] += torch.cat(signs) * torch.tensor(strength)
    return scr.ScrPair("toy_scr_a_b", rows["train"], rows["test"]), x_TD


def dataset_and_activations(n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    per_class = TRAIN + TEST
    labels = torch.arange(n_classes * per_class) // per_class
    starts = [c * per_class for c in range(n_classes)]
    names = [f"class {c}" for c in range(n_classes)]
    dataset = PooledDataset(
        "toy",
        tuple(names),
        {name: torch.arange(s, s + TRAIN) for name, s in zip(names, starts, strict=True)},
        {name: torch.arange(s + TRAIN, s + per_class) for name, s in zip(names, starts, strict=True)},
    )
    x_TD = 0.3 * torch.randn(len(labels), D, generator=generator)
    x_TD[:, :n_classes] += one_hot(labels, n_classes).float()
    return dataset, x_TD


class Dictionary:
    """Codes x W^T for orthonormal rows W: an SAE without error whose latents are the given directions."""

    decoder_is_linear = True

    def __init__(self, W_dec, W_enc=None):
        self.W_dec = W_dec
        self.W_enc = W_dec.T if W_enc is None else W_enc
        self.cfg = None

    def encode(self, x):
        return x @ self.W_enc

    def decode(self, f):
        return f @ self.W_dec

    def codes(self, x_TD):
        return CodeMatrix(self.encode(x_TD))


ORACLE = Dictionary(torch.eye(D))
RANDOM = Dictionary(torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(5))).Q)
PERMUTED = Dictionary(torch.eye(D).roll(5, dims=0), torch.eye(D))


def scr_scores(prepared_scr, source, sae, sizes=(1, 2)):
    x_TD, prepared = prepared_scr
    shifts, _ = all_shifts(sae, sae.codes(x_TD), prepared.probes, prepared.ablations, sizes, source)
    return scr.score_scr(prepared, shifts, sizes)


def tpp_scores(prepared_tpp, source, sae, sizes=(1, 2)):
    x_TD, prepared = prepared_tpp
    shifts, _ = all_shifts(sae, sae.codes(x_TD), prepared.probes, prepared.ablations, sizes, source)
    return tpp.score_tpp(prepared, shifts, sizes)
