"""Searches and fits on made-up trials."""

import random

import torch

from bayesft.bo.optimizer import Optimizer
from bayesft.bo.space import Real, Space
from bayesft.bo.surrogate import fit
from bayesft.bo.trial import Trial
from tests.helpers.rows import sobol


def told(space, function, count, *, noise=0.01, stderr=0.01, **options):
    """Return an optimiser that was told `count` trials of a Sobol sequence."""
    optimizer, luck = Optimizer(space, seed=1, **options), random.Random(0)
    rows = torch.quasirandom.SobolEngine(space.width, scramble=True, seed=0).draw(count)
    for number, row in enumerate(rows.tolist()):
        params = space.decode(row)
        value = function(**params) + luck.gauss(0, noise)
        optimizer.tell(Trial(number, params, state="finished", value=value, stderr=stderr))
    return optimizer


def cube(d):
    return Space({f"x{i}": Real(0, 1) for i in range(d)})


def length_scales(surrogate):
    """Return the d length scales, in widths of the cube: short ones matter most."""
    return surrogate.gp.covar_module.base_kernel.lengthscale.detach().flatten().tolist()


def rising_fit(n=20):
    """Return a fit to values that change as the search goes on."""
    rows = sobol(n, 3)
    values = torch.sin(4 * rows[:, 0]) + 3 * rows[:, -1] ** 2
    return fit(rows, values, torch.full((n,), 0.1), changing=True)


def noisy_fit(n=14, d=3):
    luck = torch.Generator().manual_seed(0)
    rows = torch.rand(n, d, generator=luck, dtype=torch.float64)
    values = torch.sin(4 * rows[:, 0]) + 0.2 * torch.randn(n, generator=luck, dtype=torch.float64)
    stderrs = 0.02 + 0.3 * torch.rand(n, generator=luck, dtype=torch.float64)
    return fit(rows, 5 + 2 * values, 2 * stderrs)
