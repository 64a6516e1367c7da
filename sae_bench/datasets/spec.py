"""What a dataset is: one small frozen declaration, validated, the same in YAML and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _string_keys(value: Any) -> Any:
    """YAML reads `0:` and `1.0:` as numbers; as names of classes they are strings."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else value


def _strings(value: Any) -> Any:
    return {str(key): str(name) for key, name in value.items()} if isinstance(value, dict) else value


Names = Annotated[dict[str, str], BeforeValidator(_strings)]
"""Value in the data, as a string -> readable name."""


class ClassPart(BaseModel):
    """Where the texts of one class are, for a set that keeps each class in a configuration of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: str = Field(min_length=1, description="Configuration of the repository that holds the class.")
    text_column: str = Field(min_length=1, description="Column of its texts; 'a.b' is field b of the struct column a.")


class DatasetSpec(BaseModel):
    """What labelled sets and corpora share: a name, and where the rows come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Name of the set, unique in the registry; what configs refer to.")
    description: str = Field(min_length=1, description="One line: what the texts are and what the labels mean.")
    repo: str | None = Field(
        default=None, description="Hub id (org/name), also its folder in a mirror; by default the name of the set."
    )
    revision: str | None = Field(default=None, description="Pinned commit or tag of the repository.")
    config: str | None = Field(default=None, description="Configuration (subset) of the repository.")
    folder: str | None = Field(
        default=None, description="Folder of the repository with the configuration's files, if not named like it."
    )
    path: Path | None = Field(
        default=None, description="Explicit file or folder of the data; goes before every other place."
    )
    on_hub: bool = Field(default=True, description="Whether the repository is on the hub; false for mirror-only sets.")
    stands_in_for: str | None = Field(
        default=None, description="Name of the set that this one replaces where the other cannot be had."
    )
    text_column: str = Field(default="text", min_length=1, description="Column of the texts.")

    @property
    def repository(self) -> str:
        """The hub id, and the folder of a mirror."""
        return self.repo or self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.text_column,)


class CorpusSpec(DatasetSpec):
    """Unlabelled texts, read in order and only as far as needed."""

    kind: Literal["corpus"] = "corpus"
    split: str = Field(default="train", min_length=1, description="Split that is read.")
    min_chars: int = Field(default=0, ge=0, description="Texts must be longer than this; blank ones never count.")
    embedded: Literal["train", "held_out"] | None = Field(
        default=None, description="Part of the corpus that comes with an installed package."
    )


class LabelledSpec(DatasetSpec):
    """Texts with a class each, and optionally a second attribute (`balance_column`).

    The two attributes with their named values are all that a two-attribute eval needs as well.
    """

    kind: Literal["labelled"] = "labelled"
    label_column: str = Field(default="label", min_length=1, description="Column of the classes.")
    classes: Names = Field(
        default_factory=dict,
        description="Classes in use, in order: value in the label column (what results call the class) -> its name.",
    )
    balance_column: str | None = Field(
        default=None, description="Column of a second attribute; every class gets equally many texts of each value."
    )
    balance_values: Names = Field(default_factory=dict, description="Values of the balance column -> their names.")
    balance_pattern: str | None = Field(
        default=None,
        description="Regular expression in place of a balance column: the second attribute of a text is '1' where the "
        "pattern is found in it, else '0'.",
    )
    whole_set: str | None = Field(
        default=None, description="Name of the set with all classes of the same source, if this one has some of them."
    )
    train_split: str = Field(default="train", min_length=1, description="Split of the training texts.")
    test_split: str | None = Field(
        default="test", description="Split of the test texts; null: a share of the training split, by content."
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of each class that is kept for testing where test_split is null."
    )
    draw: Literal["sample", "first"] = Field(
        default="sample",
        description="sample: a random sample of all rows of a class; first: the first rows of a stream too large to "
        "read whole, shuffled, train before test.",
    )
    min_chars: int | None = Field(
        default=None, ge=0, description="Texts must be longer than this before skip_chars; null: no limit."
    )
    skip_chars: int = Field(
        default=0, ge=0, description="Characters cut from the start of each text (licence headers)."
    )
    parts: Annotated[dict[str, ClassPart], BeforeValidator(_string_keys)] = Field(
        default_factory=dict, description="Class -> where its texts are, in place of a label column."
    )
    embedded: dict[str, Names] = Field(
        default_factory=dict, description="File of the installed package -> its target values -> classes."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> LabelledSpec:
        if self.embedded:
            if self.classes:
                raise ValueError("classes follow from 'embedded': give one of the two")
            object.__setattr__(self, "classes", {name: name for f in self.embedded.values() for name in f.values()})
            object.__setattr__(self, "test_split", None)
        if len(self.classes) < 2:
            raise ValueError(f"classes must name at least two classes, got {len(self.classes)}")
        if self.parts and set(self.parts) != set(self.classes):
            raise ValueError(
                f"parts must have the same keys as classes: {sorted(self.parts)} != {sorted(self.classes)}"
            )
        if self.balance_column is not None and self.balance_pattern is not None:
            raise ValueError("give balance_column or balance_pattern, not both")
        if self.has_second_attribute != bool(self.balance_values):
            raise ValueError("balance_column and balance_values go together (or balance_pattern and balance_values)")
        if self.balance_pattern is not None and set(self.balance_values) != {"0", "1"}:
            raise ValueError(f"balance_pattern gives 0 and 1, balance_values has {list(self.balance_values)}")
        if self.balance_values and len(self.balance_values) < 2:
            raise ValueError("balance_values must name at least two values")
        if self.draw == "first" and self.has_second_attribute:
            raise ValueError("draw 'first' cannot balance a second attribute: use draw 'sample'")
        if self.parts and self.draw != "first":
            raise ValueError("parts need draw 'first'")
        return self

    @property
    def has_second_attribute(self) -> bool:
        """Whether every text has a value of a second attribute."""
        return self.balance_column is not None or self.balance_pattern is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(c for c in (self.text_column, self.label_column, self.balance_column) if c is not None)


AnySpec = Annotated[LabelledSpec | CorpusSpec, Field(discriminator="kind")]
