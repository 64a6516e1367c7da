"""Put trained SAEs into the package: float16 matrices, decoder norms folded, how they were trained in the JSON.

python scripts/export_embedded_saes.py --work .work/saes
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from sae_bench.custom_saes.loaders.embedded import SUITE
from sae_bench.custom_saes.loaders.native import save_sae
from sae_bench.custom_saes.spec import LoadContext, resolve_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".work/saes"), help="folder with one folder per SAE")
    parser.add_argument("--to", type=Path, default=SUITE, help="folder of the package's SAEs")
    args = parser.parse_args()
    context = LoadContext(device=torch.device("cpu"), dtype=torch.float32)
    for handle in resolve_spec(f"dictionary_learning:{args.work}"):
        name = Path(handle.sae_id).name
        config = json.loads((args.work / name / "config.json").read_text(encoding="utf-8"))["trainer"]
        save_sae(handle.load(context), args.to / f"{name}.safetensors", dtype=torch.float16, metadata=config)


if __name__ == "__main__":
    main()
