"""Judges: language models that are asked questions about latents, behind one small interface."""

from sae_bench.judges.cached import CachedJudge, ReplyCache
from sae_bench.judges.interface import Judge, JudgeError, Message, NumberList, Question, Reply, YesOrNo
from sae_bench.judges.opening import JudgeSettings, open_judge

__all__ = [
    "CachedJudge",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Message",
    "NumberList",
    "Question",
    "Reply",
    "ReplyCache",
    "YesOrNo",
    "open_judge",
]
