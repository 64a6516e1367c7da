"""The hierarchy of features: who is whose child, and which siblings exclude one another.

Shapes: B samples, G true features, C children of a level, E exclusive groups, M members of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_bench.errors import ModelError


@dataclass
class Node:
    """A feature with its children.

    Attributes:
        feature: its number; None for a node that only holds children together.
        exclusive: whether one child at most is on.
        scales: whether children are multiplied by its value / its mean, and not just switched.
    """

    feature: int | None
    children: list[Node] = field(default_factory=list)
    exclusive: bool = False
    scales: bool = False


def grown_trees(
    n_features: int, n_trees: int, *, branching: int, depth: int, exclusive: bool, scales: bool
) -> list[Node]:
    """Trees of features numbered breadth first over all trees, as far as there are features.

    Args:
        n_features, n_trees: features in all, roots.
        branching, depth: children of every node that is not a leaf, levels below a root.
        exclusive, scales: of every node that has children.
    """
    roots = [Node(number) for number in range(n_trees)]
    level, number = roots, n_trees
    for _ in range(depth):
        grown: list[Node] = []
        for parent in level:
            parent.children = [Node(n) for n in range(number, min(number + branching, n_features))]
            parent.exclusive, parent.scales = exclusive and bool(parent.children), scales and bool(parent.children)
            number += len(parent.children)
            grown += parent.children
        level = grown
    return roots


def trees_from(content: Any, *, source: str) -> list[Node]:
    """Trees as `hierarchy.json` of a published model holds them.

    Raises:
        ModelError: the content has another form.
    """
    try:
        return [_node(root) for root in content["roots"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"'{source}' holds no hierarchy of features ({type(error).__name__}: {error}).") from error


def _node(content: Mapping[str, Any]) -> Node:
    number = content["feature_index"]
    return Node(
        None if number is None else int(number),
        [_node(child) for child in content.get("children", [])],
        bool(content.get("mutually_exclusive_children", False)),
        bool(content.get("scale_children_by_parent", False)),
    )


def compensation(roots: Sequence[Node], base_G: Float[Tensor, " G"]) -> Float[Tensor, " G"]:
    """By how much a feature has to fire more often so that the hierarchy leaves it near its probability.

    1 / p(parent), times 1 + sum of the siblings' p / p(parent) among children that exclude one another.
    """
    factor_G = torch.ones_like(base_G)

    def visit(node: Node, above: float) -> None:
        own = above if node.feature is None else float(base_G[node.feature])
        if node.feature is not None and above > 0:
            factor_G[node.feature] = 1.0 / above
        for child in node.children:
            visit(child, own)
        members = [child.feature for child in node.children if child.feature is not None]
        if node.exclusive and len(members) > 1 and own > 0:
            total = sum(float(base_G[member]) for member in members)
            for member in members:
                factor_G[member] *= 1.0 + max(0.0, total - float(base_G[member])) / own

    for root in roots:
        visit(root, 1.0)
    return factor_G


@dataclass(frozen=True)
class Level:
    """The features of one depth that have a parent, and the groups among those of this depth.

    Attributes:
        children, parents: numbers of features.
        scaled: which of the children are multiplied by their parent's share of its mean.
        groups: features that exclude one another, -1 where a group has fewer members.
    """

    children: Int[Tensor, " C"]
    parents: Int[Tensor, " C"]
    scaled: Tensor
    groups: Int[Tensor, "E M"]


class Hierarchy:
    """Trees laid out level by level, ready to be applied to samples.

    Args:
        roots: the trees.
    """

    def __init__(self, roots: Sequence[Node]) -> None:
        self.roots = tuple(roots)
        self.levels: list[Level] = []
        current: list[tuple[Node, int, bool]] = [(root, -1, False) for root in roots]
        groups: list[list[int]] = []
        while current:
            self.levels.append(_level(current, groups))
            groups = [members for node, _, _ in current for members in [_members(node)] if len(members) > 1]
            current = [
                (child, parent if node.feature is None else node.feature, node.scales)
                for node, parent, _ in current
                for child in node.children
            ]

    @property
    def groups(self) -> list[tuple[int, list[int]]]:
        """Exclusive groups of two and more members, each with its depth (1 for the children of a root)."""
        return [
            (depth, [int(member) for member in row if member >= 0])
            for depth, level in enumerate(self.levels)
            for row in level.groups
        ]

    def tree_of(self, n_features: int) -> Int[Tensor, " G"]:
        """The number of the tree that each feature belongs to, -1 for free ones."""
        tree_G = torch.full((n_features,), -1, dtype=torch.long)
        for number, root in enumerate(self.roots):
            pending = [root]
            while pending:
                node = pending.pop()
                if node.feature is not None:
                    tree_G[node.feature] = number
                pending += node.children
        return tree_G

    def apply_(self, values_GB: Float[Tensor, "G B"], mean_G: Float[Tensor, " G"], generator: torch.Generator) -> None:
        """Switch off or scale what its parent switches off or scales, then all but one of those that exclude others.

        Args:
            values_GB: values of the features, changed in place.
            mean_G: mean value of a feature that is on.
            generator: chooses who stays on.
        """
        for level in self.levels:
            if len(level.children):
                above_CB = values_GB[level.parents]
                divisor_C1 = torch.where(level.scaled, mean_G[level.parents], 1.0)[:, None]
                share_CB = torch.where(level.scaled[:, None], above_CB / divisor_C1, (above_CB > 0).float())
                values_GB[level.children] *= share_CB
            if len(level.groups):
                _exclude_(values_GB, level.groups, generator)


def _members(node: Node) -> list[int]:
    return [child.feature for child in node.children if child.feature is not None] if node.exclusive else []


def _level(nodes: Sequence[tuple[Node, int, bool]], groups: Sequence[Sequence[int]]) -> Level:
    below = [(n.feature, parent, scaled) for n, parent, scaled in nodes if n.feature is not None and parent >= 0]
    table_EM = torch.full((len(groups), max(map(len, groups), default=0)), -1, dtype=torch.long)
    for row, members in zip(table_EM, groups, strict=True):
        row[: len(members)] = torch.tensor(members)
    return Level(
        torch.tensor([child for child, _, _ in below], dtype=torch.long),
        torch.tensor([parent for _, parent, _ in below], dtype=torch.long),
        torch.tensor([scaled for _, _, scaled in below], dtype=torch.bool),
        table_EM,
    )


def _exclude_(values_GB: Tensor, groups_EM: Tensor, generator: torch.Generator) -> None:
    on_EMB = (values_GB[groups_EM.clamp(min=0)] > 0) & (groups_EM >= 0)[:, :, None]
    group_X, sample_X = torch.nonzero(on_EMB.sum(dim=1, dtype=torch.int16) > 1, as_tuple=True)
    on_XM = on_EMB[group_X, :, sample_X]
    draw_XM = torch.rand(on_XM.shape, generator=generator).masked_fill(~on_XM, -1.0)
    lost_XM = on_XM.scatter(1, draw_XM.argmax(dim=1, keepdim=True), False)
    conflict, member = torch.nonzero(lost_XM, as_tuple=True)
    values_GB[groups_EM[group_X[conflict], member], sample_X[conflict]] = 0.0
