"""all-MiniLM-L6-v2, a pre-trained text encoder, out of PyTorch's own transformer layers.

BERT's layer is nn.TransformerEncoderLayer with the normalisation after the residual and the exact GELU, so the
published weights fit under other names. The layers are called one by one: nn.TransformerEncoder would turn a padded
batch into nested tensors, which no exporter knows.
"""

from __future__ import annotations

import torch
from torch import nn

from zoo.pooling_torch import masked_mean

PIECES, POSITIONS, KINDS, WIDTH = 30522, 512, 2, 384
LAYERS, HEADS, INNER, EPSILON = 6, 12, 1536, 1e-12


class MiniLM(nn.Module):
    """Tokens and mask [batch, length] int64, the mask 0 at padding -> embedding [batch, 384] of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(PIECES, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.kinds = nn.Embedding(KINDS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, INNER, dropout=0.1, activation="gelu", layer_norm_eps=EPSILON, batch_first=True
            )
            for _ in range(LAYERS)
        )

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        position = torch.arange(tokens.size(1), device=tokens.device)
        kind = torch.zeros_like(tokens)
        states = self.norm(self.words(tokens) + self.positions(position) + self.kinds(kind))
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=mask == 0)
        return nn.functional.normalize(masked_mean(states, mask), dim=1)


def build() -> MiniLM:
    """The network without its weights: what models.toml names as the source."""
    return MiniLM()


def renamed(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published state_dict of BertModel under the names of this network."""
    state = {
        "words.weight": published["embeddings.word_embeddings.weight"],
        "positions.weight": published["embeddings.position_embeddings.weight"],
        "kinds.weight": published["embeddings.token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = published[f"embeddings.LayerNorm.{kind}"]
        for number in range(LAYERS):
            old, new = f"encoder.layer.{number}", f"layers.{number}"
            parts = [published[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{new}.self_attn.in_proj_{kind}"] = torch.cat(parts)
            state[f"{new}.self_attn.out_proj.{kind}"] = published[f"{old}.attention.output.dense.{kind}"]
            state[f"{new}.norm1.{kind}"] = published[f"{old}.attention.output.LayerNorm.{kind}"]
            state[f"{new}.linear1.{kind}"] = published[f"{old}.intermediate.dense.{kind}"]
            state[f"{new}.linear2.{kind}"] = published[f"{old}.output.dense.{kind}"]
            state[f"{new}.norm2.{kind}"] = published[f"{old}.output.LayerNorm.{kind}"]
    return state
