"""The small network in PyTorch: embedding, masked average pooling, dense; a subclass of nn.Module, its own loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from contract.progress import say
from zoo.vocabulary import PADDING, Tokens

WEIGHTS = "weights.safetensors"
VERSIONS = ["torch", "numpy", "safetensors"]
SEED, EPOCHS, BATCH, RATE, DECAY = 1, 8, 64, 3e-3, 1e-4


class SentimentNet(nn.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, vocabulary: int, width: int = 48, hidden: int = 32) -> None:
        super().__init__()
        self.padding = PADDING  # an attribute, so that torch.jit.script can see it
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.dropout = nn.Dropout(0.4)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = (tokens != self.padding).unsqueeze(-1).to(torch.float32)
        total = (self.embedding(tokens) * mask).sum(dim=1)
        pooled = total / mask.sum(dim=1).clamp(min=1.0)
        logits: torch.Tensor = self.output(torch.relu(self.hidden(self.dropout(pooled))))
        return logits


def build(state: dict[str, torch.Tensor]) -> SentimentNet:
    """Build the network to the size of a state_dict: what models.toml names as the source."""
    return SentimentNet(
        state["embedding.weight"].shape[0], state["hidden.weight"].shape[1], state["hidden.weight"].shape[0]
    )


def train(tokens: Tokens, labels: Tokens, validation: tuple[Tokens, Tokens], vocabulary: int, out: Path) -> None:
    """Train, keep the epoch that does best on the validation split, write its state_dict."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    network = SentimentNet(vocabulary)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    inputs, targets = torch.from_numpy(tokens), torch.from_numpy(labels)
    best = -1.0
    for epoch in range(1, EPOCHS + 1):
        network.train()
        losses = []
        for rows in torch.randperm(len(inputs)).split(BATCH):
            batch = inputs[rows]
            batch = batch[:, : int((batch != PADDING).sum(dim=1).max())]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(batch), targets[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        score = float((predict(network, validation[0]) == validation[1]).mean())
        say(f"sentiment_torch epoch {epoch:2d}/{EPOCHS}: loss {np.mean(losses):.3f}, validation accuracy {score:.3f}")
        if score > best:
            best = score
            save_file(network.state_dict(), out / WEIGHTS)


def accuracy(out: Path, tokens: Tokens, labels: Tokens) -> float:
    """Accuracy of the weights that were written, read back from the file."""
    from safetensors.torch import load_file

    state = load_file(out / WEIGHTS)
    network = build(state)
    network.load_state_dict(state)
    return float((predict(network, tokens) == labels).mean())


def predict(network: SentimentNet, tokens: Tokens) -> Tokens:
    """The predicted class of each row."""
    network.eval()
    with torch.inference_mode():
        classes: Tokens = network(torch.from_numpy(tokens)).argmax(dim=1).numpy()
    return classes
