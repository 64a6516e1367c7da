"""Judges: language models that are asked questions about latents, behind one small interface."""

from sae_bench.judges.cached import CachedJudge, ReplyCache
from sae_bench.judges.interface import Judge, JudgeError, Message, Question, Reply
from sae_bench.judges.opening import JudgeSettings, open_judge

__all__ = [
    "CachedJudge",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Message",
    "Question",
    "Reply",
    "ReplyCache",
    "open_judge",
]
