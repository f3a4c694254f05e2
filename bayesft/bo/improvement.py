"""How much better than the best trial a row may be, when no trial's value is known exactly."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bayesft.bo import isolation  # noqa: F401  (first: quietens the imports below)
from bayesft.bo.surrogate import Surrogate

# isort: split
from botorch.acquisition import AcquisitionFunction
from botorch.utils.sampling import draw_sobol_normal_samples
from botorch.utils.transforms import t_batch_mode_transform
from linear_operator.utils.cholesky import psd_safe_cholesky

SAMPLES = 64
# Added to the variance of drawn values, which two trials close together would
# otherwise make impossible to tell apart; in units of the kernel's variance.
JITTER = 1e-9


class LogNoisyImprovement(AcquisitionFunction):
    """The logarithm of noisy expected improvement, for one row at a time.

        log mean_s E[max(0, f(x) - max_i f_s(x_i))]

    f_s are draws from the posterior of the noiseless values, standardised and on their
    warped scale if they have one, at the rows x_i that were tried or are running. Given a
    draw, f(x) is normal and its expected improvement has a closed form, so that only what
    is known already is sampled (Letham, Karrer, Ottoni, Bakshy, "Constrained Bayesian
    Optimization with Noisy Experiments", Bayesian Analysis 2019). Its logarithm has
    gradients where the improvement itself rounds to 0 (Ament, Daulton, Eriksson, Balandat,
    Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
    NeurIPS 2023). A running trial counts as any other whose value is not known.

    Under constraints, each draw's maximum is over the rows that keep to them in the
    draw, and the improvement is multiplied by the probability that x keeps to them,
    as in Letham et al., but for that probability, which is of the posterior and not of
    each draw. Where no row of a draw keeps to them, any value better than the draw's
    worst improves, and the probability decides.

    Where the value changes as a training goes on, the last column of a row is how far it
    has come. x is then compared with what the tried rows would be worth at x's own
    progress, not with what they were worth when they were measured.

    Trials that began from scratch and warm ones are compared as if all were warm: what is
    expected is what better rates gain, and not what the kind of a training does (see `step`).

    Everything that does not depend on x is computed once: a climb costs little
    more than the kernel.

    Args:
        surrogate: Of the values to be maximised.
        pending: m x d rows of the running trials; m may be 0.
        seed: Of the draws.
        slacks: Of each constraint's slack, negative where it is not kept to.
        progress: Of every x, which then comes without that column; None if rows have none.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        pending: Tensor,
        seed: int,
        slacks: Sequence[Surrogate] = (),
        progress: float | None = None,
    ) -> None:
        super().__init__(surrogate.gp)
        self.units = surrogate.units
        gp = surrogate.gp
        with torch.no_grad():
            trained = gp.train_inputs[0]
            self.rows = torch.cat([trained, pending])
            rivals = slice(None)
            if progress is not None:
                rivals = slice(len(self.rows), None)
                self.rows = torch.cat([self.rows, at_progress(self.rows[:, :-1], progress)])
            values = _draws(surrogate, self.rows, seed)
            self.prior_mean = gp.mean_module.constant.detach()
            self.variance = gp.covar_module(self.rows[:1], diag=True).squeeze()
            gram = gp.covar_module(self.rows).to_dense()
            gram.diagonal().add_(JITTER * self.variance)
            self.root = psd_safe_cholesky(gram)
            # n x s: the weights of the kernel in each draw's posterior mean.
            self.weights = torch.cholesky_solve((values - self.prior_mean).T, self.root)
            feasible = torch.ones_like(values, dtype=torch.bool)
            for number, slack in enumerate(slacks, start=1):
                feasible &= _draws(slack, self.rows, seed + number) >= _limit(slack)
            values, feasible = values[:, rivals], feasible[:, rivals]
            best = values.masked_fill(~feasible, -torch.inf).amax(dim=-1)
            self.best = torch.where(feasible.any(dim=-1), best, values.amin(dim=-1))
        self.slacks = tuple(slacks)
        self.progress = progress

    def in_units(self, improvement: float) -> float:
        """Return an improvement over the best in the units of the values.

        To first order, where their scale is warped: within a fifth in most fits, and less
        than it is where few values tower over many.
        """
        return improvement * self.units.slope(self.best.mean()).item()

    def missing(self, inputs: Tensor) -> Tensor:
        """Return by how much n rows miss a limit, the most of all; 0 where they may keep to it.

        In standard deviations of what is believed of a slack, beyond two: so a trial that
        just keeps to a limit is not thought to miss it.
        """
        most = inputs.new_zeros(len(inputs))
        for margin in self._margins(inputs):
            most = torch.maximum(most, (-margin - 2).clamp_min(0.0))
        return most

    @t_batch_mode_transform(expected_q=1)
    def forward(self, X: Tensor) -> Tensor:
        """Return b numbers for b x 1 x d rows."""
        X = at_progress(X, self.progress)
        kernel = self.model.covar_module.forward(X.squeeze(-2), self.rows)
        mean = self.prior_mean + kernel @ self.weights
        explained = torch.linalg.solve_triangular(self.root, kernel.T, upper=False)
        std = (self.variance - explained.square().sum(0)).clamp_min(1e-14).sqrt().unsqueeze(-1)
        log_improvement = _log_normal_excess((mean - self.best) / std) + std.log()
        result = log_improvement.logsumexp(dim=-1) - math.log(SAMPLES)
        for margin in self._margins(X):
            result = result + torch.special.log_ndtr(margin)
        return result

    def _margins(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield by how much rows keep to each limit, in standard deviations of what is believed."""
        for slack in self.slacks:
            belief = slack.gp.posterior(inputs)
            std = belief.variance.flatten().clamp_min(1e-14).sqrt()
            yield (belief.mean.flatten() - _limit(slack)) / std


def at_progress(rows: Tensor, progress: float | None) -> Tensor:
    """Append the column of how far a training has come, if there is one."""
    if progress is None:
        return rows
    return torch.cat([rows, torch.full_like(rows[..., :1], progress)], dim=-1)


def _draws(surrogate: Surrogate, rows: Tensor, seed: int) -> Tensor:
    """Return s x n draws of the noiseless values at n rows, standardised."""
    belief = surrogate.gp.posterior(rows)
    draws = draw_sobol_normal_samples(len(rows), SAMPLES, seed=seed % 2**31)
    root = psd_safe_cholesky(belief.distribution.covariance_matrix)
    mean = belief.mean.squeeze(-1)
    return mean + draws.to(mean) @ root.T


def _limit(slack: Surrogate) -> float:
    """Return the standardised slack of a row that just keeps to the constraint."""
    return slack.units.standardise(torch.zeros(())).item()


def _log_normal_excess(z: Tensor) -> Tensor:
    """Return log E[max(0, z + e)], e standard normal, without loss for very negative z."""
    # Each branch is given harmless numbers where the other one is taken: a gradient
    # of infinity would turn into nan there.
    upper = z.clamp_min(-1.0)
    density = torch.exp(-upper.square() / 2) / math.sqrt(2 * math.pi)
    near = torch.log(density + upper * torch.special.ndtr(upper))
    # Where 1 - x rounds to 0 its value is 1 / z^2.
    lower = (-z).clamp(1.0, 1e3)
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(lower / math.sqrt(2))
    tail = torch.log1p(-lower * mills)
    beyond = (-z).clamp_min(1e3)
    tail = torch.where(z < -1e3, -2 * beyond.log(), tail)
    far = -z.clamp_max(-1.0).square() / 2 - math.log(2 * math.pi) / 2 + tail
    return torch.where(z > -1.0, near, far)
