"""`sae-bench publish`: a folder of results as a data set on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from sae_bench.cli.values import FOLDER, TEXT


@click.command(epilog="\b\nExample:\n  sae-bench publish hub_folder/ --repo me/sae-bench-results")
@click.argument("folder", type=FOLDER)
@click.option("--repo", type=TEXT, required=True, help="OWNER/NAME of the data set; made if it is not there.")
@click.option("--private", is_flag=True, help="Make it private.")
@click.option("--message", type=TEXT, default="Results of SAE Bench", show_default=True, help="Of the commit.")
def publish(folder: Path, repo: str, private: bool, message: str) -> None:
    """Upload FOLDER (what `sae-bench export hub` wrote) as a data set; what is there and unchanged is not sent again.

    The token is that of `hf auth login` or HF_TOKEN.
    """
    from sae_bench.analysis.hub_folder import publish_folder

    click.echo(publish_folder(folder, repo, private=private, message=message))
