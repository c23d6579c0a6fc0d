"""A network that decides itself how long it thinks, in PyTorch: adaptive computation time (Graves, 2016).

The loop runs until every row of the batch has accumulated a halting probability of one, so the number of steps
depends on the data: control flow that tracing freezes and scripting keeps. A row that has halted takes no more part,
so its answer does not depend on the company it is in.
"""

from __future__ import annotations

import torch
from torch import nn

from zoo.embedding_torch import embedding
from zoo.pooling_torch import masked_mean
from zoo.vocabulary import PADDING

LIMIT = 10  # most steps
EPSILON = 0.01  # a row halts when less than this is missing to one
PONDER = 0.01  # price of a step, in units of the loss
RELUCTANCE = -2.0  # the halting unit's first bias: a network that starts by thinking long learns when it need not


class AdaptiveNet(nn.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.padding, self.limit, self.enough = PADDING, LIMIT, 1 - EPSILON  # attributes, for torch.jit.script
        self.embedding = embedding(width)
        self.dropout = nn.Dropout(0.4)
        self.cell = nn.Linear(2 * width, width)
        self.halt = nn.Linear(width, 1)
        self.output = nn.Linear(width, 2)
        nn.init.constant_(self.halt.bias, RELUCTANCE)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.ponder(tokens)[0]

    @torch.jit.export
    def ponder(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits [batch, 2], steps [batch] and the probability [batch] that was left at the last step."""
        text = self.dropout(masked_mean(self.embedding(tokens), tokens != self.padding))
        state = torch.zeros_like(text)
        thought = torch.zeros_like(text)
        halted = torch.zeros_like(text[:, 0])
        steps = torch.zeros_like(halted)
        rest = torch.ones_like(halted)
        running = halted < self.enough
        step = 0
        while bool(running.any()) and step < self.limit:
            step += 1
            state = torch.tanh(self.cell(torch.cat((state, text), dim=1)))
            probability = torch.sigmoid(self.halt(state)).squeeze(1)
            ends = halted + probability >= self.enough
            if step == self.limit:
                ends = torch.ones_like(ends)
            weight = torch.where(ends, 1 - halted, probability) * running.to(text.dtype)
            thought = thought + weight.unsqueeze(1) * state
            rest = torch.where(running & ends, 1 - halted, rest)
            steps = steps + running.to(text.dtype)
            halted = halted + weight
            running = running & ~ends
        return self.output(thought), steps, rest


def loss(network: AdaptiveNet, tokens: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy and the price of thinking, and the logits."""
    logits, steps, rest = network.ponder(tokens)
    return nn.functional.cross_entropy(logits, classes) + PONDER * (steps + rest).mean(), logits


def build() -> AdaptiveNet:
    """The network without its weights: what models.toml names as the source."""
    return AdaptiveNet()
