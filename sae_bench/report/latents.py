"""Explained latents (AutoInterp) in a result, with explanation, marked texts and conversations with the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST_TEXT = 12_000
_LISTS = ("latents", "results", "per_latent")
_TEXT_LISTS = ("examples", "texts", "scoring_examples", "generation_examples", "top_examples")


def explained_latents(content: Any, *, most: int = 20) -> dict[str, Any] | None:
    """The latents of `eval_result_unstructured`, the best first; None where it holds none.

    The published form is latent -> {latent, explanation, predictions, "correct seqs", score, logs}.

    Args:
        most: latents that keep their texts and conversations: half of them the best, half the worst.
    """
    entries = _entries(content)
    scored = [entry for entry in entries if isinstance(entry.get("score"), int | float)]
    if not scored:
        return None
    ordered = sorted(scored, key=lambda entry: -float(entry["score"]))
    best, worst = most - most // 2, len(ordered) - most // 2
    return {
        "entries": [_latent(entry, whole=n < best or n >= worst) for n, entry in enumerate(ordered)],
        "scores": [round(float(entry["score"]), 4) for entry in ordered],
    }


def _entries(content: Any) -> list[Mapping[str, Any]]:
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [entry for entry in content if _is_explained(entry)]
    if not isinstance(content, Mapping):
        return []
    for name in _LISTS:
        if isinstance(content.get(name), Mapping | Sequence) and (inner := _entries(content[name])):
            return inner
    return [{"latent": key, **entry} for key, entry in content.items() if _is_explained(entry)]


def _is_explained(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "explanation" in entry


def _latent(entry: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    short = {
        "latent": entry.get("latent"),
        "score": round(float(entry["score"]), 4),
        "explanation": str(entry.get("explanation") or ""),
    }
    if not whole:
        return short
    texts = next((entry[name] for name in _TEXT_LISTS if isinstance(entry.get(name), Sequence)), ())
    return short | {
        "predictions": _numbers(entry.get("predictions")),
        "correct": _numbers(entry.get("correct seqs") or entry.get("correct")),
        "texts": [text for text in map(_text, texts) if text][:20],
        "logs": str(entry.get("logs") or "")[:_LONGEST_TEXT],
    }


def _text(example: Any) -> dict[str, Any] | None:
    """A text with the tokens that activate the latent between << and >>."""
    if isinstance(example, str):
        return {"text": example}
    if not isinstance(example, Mapping):
        return None
    text = next((example[k] for k in ("marked", "marked_text", "text", "tokens") if example.get(k)), None)
    if text is None:
        return None
    text = text if isinstance(text, str) else "".join(map(str, text))
    active = next((example[k] for k in ("active", "is_active", "activates") if k in example), None)
    return {"text": text, **({"active": bool(active)} if active is not None else {})}


def _numbers(values: Any) -> list[int] | None:
    return [int(v) for v in values] if isinstance(values, Sequence) and not isinstance(values, str) else None
