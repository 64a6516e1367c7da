"""From settings to a judge that is ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sae_bench.judges.cached import CachedJudge, ReplyCache, default_folder
from sae_bench.judges.endpoint import EndpointJudge, EndpointSettings
from sae_bench.judges.interface import Judge
from sae_bench.judges.local import LocalJudge
from sae_bench.language_models import LanguageModel, load_language_model


@dataclass(frozen=True)
class JudgeSettings:
    """Which judge, and where its replies are kept.

    Attributes:
        local_model: the model of a local judge; None takes the one that is loaded.
        endpoint: of a judge elsewhere.
        cache: None is the default folder.
    """

    kind: Literal["openai", "local"]
    local_model: str | None = None
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    cache: Path | None = None
    data_dir: Path | None = None


def open_judge(settings: JudgeSettings, lm: LanguageModel, *, api_key: str | None = None) -> CachedJudge:
    """A judge whose replies are kept.

    Raises:
        PrerequisiteError, ModelError: its client, key or model is missing.
    """
    cache = ReplyCache(settings.cache or default_folder())
    judge: Judge
    if settings.kind == "openai":
        judge = EndpointJudge(settings.endpoint, api_key)
    elif settings.local_model in (None, lm.name):
        judge = LocalJudge(lm)
    else:
        judge = LocalJudge(
            load_language_model(
                settings.local_model or lm.name, device=lm.device, dtype=lm.dtype, data_dir=settings.data_dir
            )
        )
    return CachedJudge(judge, cache)
