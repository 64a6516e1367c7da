"""What questions will cost, before they are asked."""

from __future__ import annotations

from dataclasses import dataclass

PRICES: dict[str, tuple[float, float]] = {
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o": (2.50, 10.00),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1": (2.00, 8.00),
}
"""OpenAI's list prices in US dollars per million tokens, in and out, as of 2025; for an estimate only."""

CHARACTERS_PER_TOKEN = 4.0
TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True)
class Estimate:
    """Questions and what they take; `dollars` is None for a model whose price is not known."""

    questions: int
    tokens_in: int
    tokens_out: int
    dollars: float | None

    def times(self, n: int) -> Estimate:
        """Of so many SAEs."""
        dollars = None if self.dollars is None else n * self.dollars
        return Estimate(n * self.questions, n * self.tokens_in, n * self.tokens_out, dollars)

    def __str__(self) -> str:
        price = "" if self.dollars is None else f", about ${self.dollars:.2f}"
        return (
            f"up to {self.questions:,} questions, about {self.tokens_in:,} tokens in and at most "
            f"{self.tokens_out:,} out{price}"
        )


def text_tokens(*texts: str) -> int:
    """Roughly how many tokens messages of these texts are."""
    return int(sum(len(text) / CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE for text in texts))


def estimate(model: str, *, questions: int, tokens_in: int, tokens_out: int) -> Estimate:
    """The estimate for a model of OpenAI's; other models have no known price."""
    price = PRICES.get(model)
    dollars = None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6
    return Estimate(questions, tokens_in, tokens_out, dollars)
