"""How throughput grows with the number of instances: the Universal Scalability Law, fitted or refused. Pure.

    X(n) = rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))

``rate`` is what one does, ``sigma`` the share that is done one after the other (contention), ``kappa`` the cost of
agreeing with every other one (coherence). With ``kappa`` above 0 there is a peak at n = sqrt((1 - sigma) / kappa).
Source: N. J. Gunther, "Guerrilla Capacity Planning" (2007), chapters 4 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from contract.scaling import Prediction
from contract.statistics import Floats

LEAST_POINTS = 5  # three unknowns, and something left that can disagree
WORST_FIT = 0.05  # relative root mean square; a fit that is worse says nothing about numbers that were not measured
REACH = 2.0  # a peak beyond so many times the largest number that was measured is a guess


def predict(points: Sequence[tuple[int, float]], shared: str = "") -> tuple[Prediction | None, str]:
    """The fitted law, or None, and why: what is said of the fit, or what forbids it.

    ``points`` are (instances or replicas, requests per second); ``shared`` says which cores load generator or proxy
    share with the servers, empty where they have their own.
    """
    numbers = sorted({n for n, _ in points})
    if len(numbers) < LEAST_POINTS:
        return None, f"{len(numbers)} different numbers were measured, a fit needs {LEAST_POINTS}"
    if shared:
        return None, f"{shared}: more servers leave the load generator less, and the curve would show that"
    if any(rate <= 0 for _, rate in points):
        return None, "nothing was answered at one of the numbers"
    found = fit(points)
    if found.residual > WORST_FIT:
        return None, f"the law misses the points by {found.residual:.1%} on average, {WORST_FIT:.0%} is allowed"
    return _within_reach(found, numbers[-1])


def fit(points: Sequence[tuple[int, float]]) -> Prediction:
    """Least squares of the relative errors, with sigma and kappa at least 0.

    n / X(n) = a + b * (n - 1) + c * n * (n - 1) is linear in a = 1 / rate, b = sigma / rate, c = kappa / rate. A convex
    problem with bounds at 0 has its solution among the unbounded ones over the terms that are not 0: four here.
    """
    n = np.array([number for number, _ in points], dtype=np.float64)
    seconds = n / np.array([rate for _, rate in points], dtype=np.float64)
    terms = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) / seconds[:, None]
    solutions = [_over(terms, kept) for kept in ([0], [0, 1], [0, 2], [0, 1, 2])]
    a, b, c = min((each for each in solutions if (each >= 0).all()), key=lambda each: _misfit(terms, each))
    rate, sigma, kappa = float(1 / a), float(b / a), float(c / a)
    residual = float(np.sqrt(np.mean((throughput(n, rate, sigma, kappa) * seconds / n - 1) ** 2)))
    peak = max(1.0, math.sqrt(max(0.0, 1 - sigma) / kappa)) if kappa > 0 else None
    return Prediction(
        rate=rate,
        sigma=sigma,
        kappa=kappa,
        residual=residual,
        peak=peak,
        peak_rps=None if peak is None else float(throughput(np.array([peak]), rate, sigma, kappa)[0]),
    )


def throughput(n: Floats, rate: float, sigma: float, kappa: float) -> Floats:
    """The law itself, requests per second."""
    return rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def _over(terms: Floats, kept: list[int]) -> Floats:
    """The least-squares solution over some of the terms, 0 for the others; 1 is the goal of every row."""
    found = np.zeros(terms.shape[1])
    found[kept] = np.linalg.lstsq(terms[:, kept], np.ones(len(terms)), rcond=None)[0]
    return found


def _misfit(terms: Floats, solution: Floats) -> float:
    return float(((terms @ solution - 1) ** 2).sum())


def _within_reach(found: Prediction, largest: int) -> tuple[Prediction, str]:
    """The fit, without a peak that nobody came near."""
    fitted = f"fitted with a residual of {found.residual:.1%}"
    if found.peak is None:
        return found, f"{fitted}; throughput has no peak by it"
    if found.peak > REACH * largest:
        beyond = found.model_copy(update={"peak": None, "peak_rps": None})
        return beyond, f"{fitted}; a peak is not in sight, {largest} is the largest number that was measured"
    return found, f"{fitted}; the peak is at {found.peak:.1f}"
