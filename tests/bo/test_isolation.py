import warnings

import numpy as np
import pytest
import torch

from bayesft.bo.isolation import derive_seed, isolated


def test_a_seed_depends_on_every_word_and_is_the_same_everywhere():
    # Half of sha256sum's first 8 bytes for '0\\0ask\\0001'; another number would make
    # every journal go on differently.
    assert derive_seed(0, "ask", 1) == 1988439705700050951
    seeds = {derive_seed(*words) for words in [(0,), (1,), (0, "a"), (0, "a", 1), (0, "a1")]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def _state():
    return (
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.empty(0).device,
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_nothing_outside_changes_even_after_an_exception(outside, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with outside(), torch.device("meta"):
            left = _state()
            with pytest.raises(ZeroDivisionError), isolated(3):  # noqa: PT012
                assert torch.get_num_threads() == 1
                weight = torch.ones(2, requires_grad=True)
                (weight * torch.rand(2)).sum().backward()
                assert weight.dtype == torch.float64
                assert weight.device.type == "cpu"
                np.random.rand()
                _ = 1 / 0
            assert _state() == left
    finally:
        torch.set_num_threads(before)


def test_the_seed_decides_what_is_drawn_inside():
    draws = []
    for seed in (5, 5, 6):
        torch.rand(1)
        with isolated(seed):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]


def test_other_peoples_warnings_still_show():
    with pytest.warns(UserWarning, match="mine"), isolated(0):
        warnings.warn("mine", stacklevel=1)
