"""A folder of results as a data set of the Hugging Face hub: files, samples, one table, and a card."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from sae_bench.analysis.integrity import check_results
from sae_bench.analysis.table import Record, load_results
from sae_bench.atomic import write_text_atomically
from sae_bench.errors import PrerequisiteError, ResultError, UsageError
from sae_bench.results.files import result_path
from sae_bench.results.sample_files import samples_path

TABLE = "results.csv"
CARD = "README.md"


def write_hub_folder(results: str | Path, out: str | Path, *, title: str) -> Path:
    """Copy what `sae-bench check` has nothing against, write the tidy table and the card.

    Args:
        results: an output folder of a run.
        out: a folder that does not exist or is empty.
        title: of the card.
    Raises:
        ResultError: there is no result, or something is wrong with one.
        UsageError: `out` has content.
    """
    target = Path(out)
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"'{target}' is not empty. Next: name a new folder.")
    table = load_results(results)
    wrong = [problem for problem in check_results(results) if problem.serious]
    if wrong:
        raise ResultError(
            f"{len(wrong)} things are wrong, such as '{wrong[0].path}': {wrong[0].text}. "
            f"Next: sae-bench check {results}"
        )
    for record in table.records:
        name = record.eval_name if record.spec is None else record.spec.name
        copy = result_path(target / name, record.release, record.sae_id)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.path, copy)
        beside = samples_path(record.path.parent, record.release, record.sae_id)
        if beside.exists():
            sample_copy = samples_path(target / name, record.release, record.sae_id)
            sample_copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(beside, sample_copy)
    frame = table.to_frame()
    frame["path"] = [Path(path).name for path in frame["path"]]
    write_text_atomically(target / TABLE, frame.to_csv(index=False))
    write_text_atomically(target / CARD, card(table.records, title=title))
    return target


def card(records: Iterable[Record], *, title: str) -> str:
    """The data set's card: what was evaluated, on what, and with which versions."""
    listed = list(records)
    models = sorted({record.model or "unknown" for record in listed})
    evals = sorted({record.eval_name for record in listed})
    saes = sorted({record.sae for record in listed})
    versions = sorted({str(record.provenance.get("package_version") or "published package") for record in listed})
    lines = [
        "---",
        "tags:",
        "- sae-bench",
        "- sparse-autoencoders",
        "- interpretability",
        "configs:",
        "- config_name: default",
        "  data_files: results.csv",
        "---",
        f"# {title}",
        "",
        f"{len(listed)} results of {len(saes)} sparse autoencoders on {len(evals)} evals.",
        "",
        f"- Models: {', '.join(models)}",
        f"- Evals: {', '.join(evals)}",
        f"- Made with sae-bench {', '.join(versions)}",
        "",
        "`results.csv` has a row per SAE, eval and headline metric, with its interval. `<eval>/` holds the result",
        "files and, in `samples/`, the values per text or pair that `sae-bench compare` pairs. `sae-bench report`",
        "shows them.",
        "",
    ]
    return "\n".join(lines)


def publish_folder(folder: str | Path, repo: str, *, private: bool, message: str, endpoint: str | None = None) -> str:
    """Upload a folder as a data set and give its address.

    Args:
        repo: OWNER/NAME.
        private: whether a repository that has to be made is private.
        message: of the commit.
        endpoint: address of the hub; by default the public one, or HF_ENDPOINT.
    Raises:
        UsageError: the folder has no card, or the name is none.
        PrerequisiteError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    if not (Path(folder) / CARD).is_file():
        raise UsageError(f"'{folder}' has no {CARD}. Next: sae-bench export hub RESULTS --out {folder}")
    api = HfApi(endpoint=endpoint)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(folder_path=str(folder), repo_id=repo, repo_type="dataset", commit_message=message)
    except HFValidationError as error:
        raise UsageError(f"'{repo}' is no name of a data set: {error}. Next: OWNER/NAME.") from error
    except Exception as error:  # the library and its http clients share no base class
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise PrerequisiteError(
            f"the hub did not take '{repo}': {first} Next: log in (hf auth login) with a token that may write."
        ) from error
    return str(commit.commit_url)
