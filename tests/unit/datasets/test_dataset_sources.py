"""Where rows come from, in which order the places are tried, and what is said when none has them."""

from __future__ import annotations

import gzip
import sys
import types
from pathlib import Path

import pandas as pd
import pytest
import zstandard
from huggingface_hub import constants

from sae_bench.datasets import CorpusSpec, corpus_provenance, get_spec, load_corpus, load_labelled
from sae_bench.datasets.readers import iter_frames
from sae_bench.datasets.sources import data_files
from sae_bench.errors import DatasetError, PrerequisiteError, UnknownNameError, UsageError

WEB = "Skylion007/openwebtext"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _frame(*texts: str | None) -> pd.DataFrame:
    return pd.DataFrame({"text": list(texts)})


class FakeHub(types.ModuleType):
    """Stands for the `datasets` library: yields rows, or raises."""

    def __init__(self, rows=(), error=None, break_after=None):
        super().__init__("datasets")
        self.rows, self.error, self.break_after = list(rows), error, break_after
        self.calls: list[dict] = []
        self.info = types.SimpleNamespace(download_checksums={f"hf://datasets/o/n@{COMMIT}/train.parquet": {}})

    def load_dataset(self, repo, config, **options):
        self.calls.append({"repo": repo, "config": config, **options})
        if self.error is not None:
            raise self.error
        return self

    def iter(self, batch_size):
        for i, row in enumerate(self.rows):
            if i == self.break_after:
                raise ConnectionResetError("peer went away")
            yield {key: [value] for key, value in row.items()}


@pytest.fixture
def fake_hub(monkeypatch):
    def install(**kwargs) -> FakeHub:
        hub = FakeHub(**kwargs)
        monkeypatch.setitem(sys.modules, "datasets", hub)
        return hub

    return install


def _cache(tmp_path: Path, monkeypatch, repo: str, files: dict[str, pd.DataFrame]) -> None:
    folder = tmp_path / "cache" / ("datasets--" + repo.replace("/", "--"))
    for name, frame in files.items():
        file = folder / "snapshots" / COMMIT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(file)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_path_then_mirror_then_cache_then_hub(tmp_path, monkeypatch, write, fake_hub):
    spec = get_spec(WEB)
    fake_hub(rows=[{"text": "from the hub"}])
    assert list(load_corpus(spec, data_dir=tmp_path)) == ["from the hub"]
    _cache(tmp_path, monkeypatch, WEB, {"plain_text/train-00000-of-00001.parquet": _frame("from the cache")})
    assert list(load_corpus(spec, data_dir=tmp_path)) == ["from the cache"]
    assert corpus_provenance(spec)["revision"] == COMMIT
    mirror = write(WEB, {"train": _frame("from the mirror")})
    assert list(load_corpus(spec, data_dir=mirror)) == ["from the mirror"]
    assert corpus_provenance(spec, data_dir=mirror)["source"] == "mirror"
    own = tmp_path / "own.parquet"
    _frame("from the path").to_parquet(own)
    with_path = spec.model_copy(update={"path": own})
    assert list(load_corpus(with_path, data_dir=mirror)) == ["from the path"]
    assert corpus_provenance(with_path, data_dir=mirror)["source"] == "path"


def test_a_cache_without_all_shards_is_passed_over(tmp_path, monkeypatch, fake_hub):
    fake_hub(rows=[{"text": "from the hub"}])
    _cache(tmp_path, monkeypatch, WEB, {"plain_text/train-00000-of-00002.parquet": _frame("from the cache")})
    assert list(load_corpus(WEB)) == ["from the hub"]


@pytest.mark.parametrize(
    "pattern",
    [
        "{split}.parquet",
        "{split}-00000-of-00001.parquet",
        "data/{split}-00000-of-00001.parquet",
        "plain_text/{split}-00000-of-00001.parquet",
        "{split}/0000.parquet",
        "{split}.jsonl",
        "{split}.jsonl.gz",
        "{split}/00.jsonl.zst",
        "{split}.csv",
    ],
)
def test_layouts_and_formats_of_a_mirror(write, pattern):
    mirror = write(WEB, {"train": _frame("one", "NA", "zwei, drei"), "test": _frame("no")}, pattern=pattern)
    assert list(load_corpus(WEB, data_dir=mirror)) == ["one", "NA", "zwei, drei"]


def test_shards_are_read_in_order_and_only_as_far_as_needed(write):
    mirror = write(WEB, {"00000": _frame("a", "b"), "00001": _frame("c")}, pattern="train-{split}-of-00003.parquet")
    (mirror / WEB / "train-00002-of-00003.parquet").write_bytes(b"not read")
    texts = load_corpus(WEB, data_dir=mirror)
    assert [next(texts) for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(DatasetError, match=r"train-00002-of-00003\.parquet' as Parquet"):
        next(texts)


def test_a_missing_shard_of_a_sampled_set_is_an_error(write):
    frame = pd.DataFrame({"text": ["a"], "label": [0]})
    mirror = write("fancyzhx/ag_news", {"train": frame}, pattern="{split}-00001-of-00002.parquet")
    with pytest.raises(DatasetError, match=r"lacks 1 of the shards of 'train', first: train-00000-of-00002\.parquet"):
        load_labelled("fancyzhx/ag_news", train_set_size=2, test_set_size=2, seed=0, data_dir=mirror)


def test_files_without_a_split_in_their_names_are_training_files(write, tmp_path):
    mirror = write(WEB, {"part_2": _frame("b"), "part_1": _frame("a")})
    assert list(load_corpus(WEB, data_dir=mirror)) == ["a", "b"]
    assert data_files(mirror / WEB, "test") == ()


def test_configurations_have_folders(write):
    name = "Salesforce/wikitext"
    write(f"{name}/wikitext-2-v1", {"test": _frame(" = A = \n", "", "words\n"), "validation": _frame("v")})
    mirror = write(f"{name}/wikitext-103-v1", {"train": _frame("long")})
    assert list(load_corpus(name, data_dir=mirror)) == [" = A = \n", "words\n"]
    assert list(load_corpus(f"{name}:wikitext-103-v1", data_dir=mirror)) == ["long"]
    with pytest.raises(DatasetError, match="could not get"):  # not one of the other configurations instead
        load_corpus(f"{name}:wikitext-103-raw-v1", data_dir=mirror)


def test_a_missing_split_lists_those_present(write):
    mirror = write(WEB, {"test": _frame("t"), "validation": _frame("v")})
    with pytest.raises(DatasetError, match=r"no files of the split 'train' .* \(its splits: test, validation\)"):
        load_corpus(WEB, data_dir=mirror)


def test_blank_short_and_missing_texts_are_left_out(tmp_path, write):
    path = write("own", {"train": _frame("", "  \n", None, "abc", "abcd")}) / "own"
    spec = CorpusSpec(name="own", description="d", path=path, min_chars=3)
    assert list(load_corpus(spec)) == ["abcd"]
    assert list(load_corpus(str(path))) == ["abc", "abcd"]
    with pytest.raises(DatasetError, match="holds no text"):
        list(load_corpus(spec.model_copy(update={"min_chars": 9})))


def test_a_missing_column_of_a_corpus_lists_those_present(write):
    mirror = write(WEB, {"train": pd.DataFrame({"content": ["x"], "meta": [{"a": 1}]})})
    with pytest.raises(DatasetError, match=r"no column 'text'; its columns: 'content', 'meta.a'"):
        next(load_corpus(WEB, data_dir=mirror))


def test_numbers_are_no_corpus(write):
    mirror = write(WEB, {"train": pd.DataFrame({"text": [1, 2]})})
    with pytest.raises(DatasetError, match="holds int, not text"):
        next(load_corpus(WEB, data_dir=mirror))


def test_broken_files_are_named_with_the_line(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "a"}\n\n{"text": \n')
    with pytest.raises(DatasetError, match=r"train.jsonl' as JSON: line 3 is not a JSON object"):
        list(iter_frames(file, ["text"]))
    packed = tmp_path / "train.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"text": "a"}\n' * 2000)[:-20])
    with pytest.raises(DatasetError, match=r"train\.jsonl\.gz"):
        list(iter_frames(packed, ["text"]))
    packed = tmp_path / "train.jsonl.zst"
    packed.write_bytes(b"no zstandard")
    with pytest.raises(DatasetError, match=r"train\.jsonl\.zst"):
        list(iter_frames(packed, ["text"]))
    with pytest.raises(DatasetError, match="no data file"):
        list(iter_frames(tmp_path / "notes.md", ["text"]))


def test_json_lists_and_nested_columns(tmp_path):
    file = tmp_path / "train.json"
    file.write_text('[{"translation": {"en": "yes", "fr": "oui"}}]')
    (frame,) = iter_frames(file, ["translation.fr"])
    assert frame["translation.fr"].tolist() == ["oui"]
    with pytest.raises(DatasetError, match=r"'translation.de'; its columns: 'translation.en', 'translation.fr'"):
        list(iter_frames(file, ["translation.de"]))
    lines = tmp_path / "more.jsonl.zst"
    lines.write_bytes(zstandard.compress('{"translation": {"en": "ä"}}\n'.encode()))
    assert next(iter_frames(lines, ["translation.en"]))["translation.en"].tolist() == ["ä"]


def test_the_data_directory_must_exist(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load_corpus(WEB, data_dir=tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="does not exist or is empty"):
        load_corpus(CorpusSpec(name="own", description="d", path=tmp_path / "nowhere"))


def test_mirror_only_sets_never_ask_the_hub(fake_hub, tmp_path):
    hub = fake_hub(rows=[{"text": "x"}])
    for data_dir, said in ((None, "no data directory was given"), (tmp_path, str(tmp_path / "debian"))):
        with pytest.raises(DatasetError, match="is not on the hub") as caught:
            load_labelled("debian/docs_language_id", train_set_size=2, test_set_size=2, seed=0, data_dir=data_dir)
        assert said in str(caught.value)
        assert "'text', 'language'" in str(caught.value)
    assert not hub.calls


def test_without_the_library_the_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PrerequisiteError, match=r'pip install "sae-bench\[hub\]"'):
        load_corpus(WEB)


def test_unreachable_hub_says_where_it_looked_and_what_can_stand_in(fake_hub, tmp_path):
    fake_hub(error=ConnectionError("no route to host\nand more"))
    with pytest.raises(DatasetError) as caught:
        load_labelled("Helsinki-NLP/europarl", train_set_size=4, test_set_size=4, seed=0, data_dir=tmp_path)
    message = str(caught.value)
    assert "from the hub: no route to host. The hub is switched off (HF_HUB_OFFLINE)." in message
    assert str(tmp_path / "Helsinki-NLP/europarl") in message
    assert "local Hugging Face cache" in message
    assert "'debian/docs_language_id'" in message
    assert "--data-dir" in message


def test_a_connection_that_breaks_midway_is_not_an_end(fake_hub):
    fake_hub(rows=[{"text": "a"}, {"text": "b"}], break_after=1)
    texts = load_corpus(WEB)
    assert next(texts) == "a"
    with pytest.raises(DatasetError, match="peer went away"):
        next(texts)


@pytest.mark.parametrize("offline", [True, False])
def test_what_is_asked_of_the_hub(fake_hub, monkeypatch, offline):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    hub = fake_hub(rows=[{"text": "a"}])
    list(load_corpus(get_spec("HuggingFaceFW/fineweb").model_copy(update={"revision": "v1"})))
    expected = {"repo": "HuggingFaceFW/fineweb", "config": "sample-10BT", "split": "train", "revision": "v1"}
    assert hub.calls == [{**expected, "streaming": not offline}]


def test_a_sampled_set_from_the_hub_is_read_whole_and_tells_its_commit(fake_hub):
    hub = fake_hub(rows=[{"text": f"{i}", "label": i % 4} for i in range(16)])
    texts = load_labelled("fancyzhx/ag_news", train_set_size=4, test_set_size=2, seed=0)
    assert texts.provenance["source"] == "hub"
    assert texts.provenance["revision"] == COMMIT
    assert [(c["split"], c["streaming"]) for c in hub.calls] == [("train", False), ("test", False)]


def test_a_missing_column_on_the_hub(fake_hub):
    fake_hub(rows=[{"content": "a"}])
    with pytest.raises(DatasetError, match=r"the hub's 'Skylion007/openwebtext' has no column 'text'; its .*'content'"):
        load_corpus(WEB)


def test_unknown_corpora_and_labelled_sets_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="Skylion007/openwebtext"):
        load_corpus("openwebtext")
    with pytest.raises(UsageError, match="is a labelled set"):
        load_corpus("fancyzhx/ag_news")


def test_classes_of_one_set_do_not_come_from_different_places(fake_hub, write):
    sides = pd.DataFrame({"translation": [{"en": f"en {i}", "fr": "f"} for i in range(9)]})
    mirror = write("Helsinki-NLP/europarl/en-fr", {"train": sides})
    languages = ("en", "fr", "de", "es", "nl")
    fake_hub(rows=[{"translation": {side: f"{side} {i}" for side in languages}} for i in range(9)])
    with pytest.raises(DatasetError, match=r"different places \(en: mirror .*; fr: hub"):
        load_labelled("Helsinki-NLP/europarl", train_set_size=4, test_set_size=4, seed=0, data_dir=mirror)
