"""Train a PyTorch model of the zoo with a loop of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contract.table import load
from contract.tensors import Tensors
from zoo.lesson import Labels, Lesson, Rows
from zoo.log_torch import Log
from zoo.plan import Plan
from zoo.show import narrate, project, show

# The network, inputs and classes -> the loss, and the logits that it was made of.
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
AT_ONCE = 256  # rows of a batch that is not trained on


def cross_entropy(network: nn.Module, inputs: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The usual loss of a classifier."""
    logits = network(inputs)
    return nn.functional.cross_entropy(logits, classes), logits


def settle(seed: int) -> None:
    """One thread and one order of sums: two models train at once, and the weights are the same every time."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def train(name: str, plan: Plan, lesson: Lesson, out: Path) -> None:
    """Train, keep the epoch that does best on the validation part, write its state_dict and the log."""
    network: nn.Module = load(f"zoo.{name}:build")()
    loss: Loss = getattr(load(f"zoo.{name}"), "loss", cross_entropy)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    log = Log(out / "tensorboard")
    best = -1.0
    for epoch in range(1, plan.epochs + 1):
        learned = _epoch(network, loss, optimizer, lesson, plan.batch)
        checked = _check(network, lesson.validation)
        log.figures(epoch, train=learned, validation=checked)
        log.weights(epoch, network)
        narrate(name, epoch, plan.epochs, learned["loss"], checked["accuracy"])
        if checked["accuracy"] > best:
            best = checked["accuracy"]
            save_file(network.state_dict(), out / plan.weights)
    network = restore(name, out / plan.weights)
    embedding = next((module for module in network.modules() if isinstance(module, nn.Embedding)), None)
    if embedding is not None:
        project(log.folder / "train", embedding.weight.detach().numpy(), list(lesson.words))
    finish(name, network, lesson, log, logits(network, lesson.test.inputs).argmax(axis=1))


def finish(name: str, network: nn.Module, lesson: Lesson, log: Log, answers: Labels) -> None:
    """Log what needs the trained network and its answers to the test part."""
    log.graph(network, arguments(lesson.test.head(8).inputs))
    show(log, name, lesson, answers)
    log.close()


def predict(name: str, plan: Plan, out: Path, inputs: Tensors) -> Labels:
    """The classes that the weights on disk give."""
    classes: Labels = logits(restore(name, out / plan.weights), inputs).argmax(axis=1)
    return classes


def restore(name: str, weights: Path) -> nn.Module:
    """The trained network, ready for inference."""
    network: nn.Module = load(f"zoo.{name}:build")()
    network.load_state_dict(load_file(weights))
    return network.eval()


def arguments(inputs: Tensors) -> tuple[torch.Tensor, ...]:
    """Inputs in the order of forward's arguments, which is the order of the lesson's."""
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs.values())


def logits(network: nn.Module, inputs: Tensors) -> Labels:
    """What the network says to every row."""
    network.eval()
    batches = zip(*(tensor.split(AT_ONCE) for tensor in arguments(inputs)), strict=True)
    with torch.inference_mode():
        answers: Labels = torch.cat([network(*batch) for batch in batches]).numpy()
    return answers


def _epoch(
    network: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, lesson: Lesson, size: int
) -> dict[str, float]:
    network.train()
    inputs, classes = torch.from_numpy(lesson.train.only), torch.from_numpy(lesson.train.labels)
    losses, right = [], 0
    for rows in torch.randperm(len(inputs)).split(size):
        batch = inputs[rows]
        if lesson.padding is not None:
            batch = batch[:, : int((batch != lesson.padding).sum(dim=1).max())]
        optimizer.zero_grad()
        cost, said = loss(network, batch, classes[rows])
        cost.backward()
        optimizer.step()
        losses.append(cost.item())
        right += int((said.argmax(dim=1) == classes[rows]).sum())
    return {"loss": float(np.mean(losses)), "accuracy": right / len(inputs)}


def _check(network: nn.Module, rows: Rows) -> dict[str, float]:
    said, classes = torch.from_numpy(logits(network, rows.inputs)), torch.from_numpy(rows.labels)
    return {
        "loss": float(nn.functional.cross_entropy(said, classes)),
        "accuracy": float((said.argmax(dim=1) == classes).float().mean()),
    }
