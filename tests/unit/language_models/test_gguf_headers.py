"""Headers of GGUF files, read once and quickly, hold what the plain reader finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae_bench.language_models.gguf_headers import headers_read_once

gguf = pytest.importorskip("gguf")


@pytest.fixture(params=["little", "big"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    endian = gguf.GGUFEndian.LITTLE if request.param == "little" else gguf.GGUFEndian.BIG
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama", endianess=endian)
    writer.add_name("tiny, ä")
    writer.add_block_count(3)
    writer.add_token_list(["a", "ü", "", "Ġword"])
    writer.add_array("numbers", [1, 2, 70_000])
    writer.add_float32("share", 0.25)
    writer.add_bool("yes", True)
    writer.add_tensor("token_embd.weight", np.arange(12, dtype=np.float32).reshape(4, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "tiny.gguf"


def test_fields_and_tensors_are_those_of_the_plain_reader(file: Path):
    plain = gguf.GGUFReader(file)
    with headers_read_once():
        quick = gguf.GGUFReader(file)
    assert quick.fields.keys() == plain.fields.keys()
    for name, field in plain.fields.items():
        got = quick.fields[name]
        assert (got.offset, got.types, got.data, got.name) == (field.offset, field.types, field.data, field.name)
        assert [bytes(part) for part in got.parts] == [bytes(part) for part in field.parts]
        assert got.contents() == field.contents()
    assert [t.name for t in quick.tensors] == [t.name for t in plain.tensors]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(quick.tensors, plain.tensors, strict=True))


def test_a_file_is_opened_once_and_names_are_listed_once(file: Path):
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with headers_read_once():
        assert gguf.GGUFReader(file) is gguf.GGUFReader(file)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 3)
        assert names is gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 3)
        assert names.mapping == before[1](gguf.MODEL_ARCH.LLAMA, 3).mapping
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_a_failure_leaves_nothing_changed(tmp_path: Path):
    before = gguf.GGUFReader
    (tmp_path / "broken.gguf").write_bytes(b"no GGUF at all")
    with pytest.raises(ValueError, match="magic"), headers_read_once():
        gguf.GGUFReader(tmp_path / "broken.gguf")
    assert gguf.GGUFReader is before
