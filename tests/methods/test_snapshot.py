"""Weights that come back, and weights that go part of the way."""

import torch
from torch import nn

from bayesft.methods.snapshot import parameters_of, put_back, shrink_towards, take


def step(network, optimizer):
    optimizer.zero_grad()
    network(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


def test_a_training_that_was_put_back_repeats_to_the_bit():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    step(network, optimizer)
    snapshot = take(network, [optimizer])
    first = [step(network, optimizer) or parameters_of(network) for _ in range(3)]
    put_back(snapshot, network, [optimizer])
    assert network[1].num_batches_tracked == 1
    for expected in first:
        step(network, optimizer)
        assert all(torch.equal(expected[n], p) for n, p in network.named_parameters())
    # A second time, and with another learning rate, which stays.
    optimizer.param_groups[0]["lr"] = 0.2
    put_back(snapshot, network, [optimizer])
    assert optimizer.param_groups[0]["lr"] == 0.2


def test_weights_shrink_towards_the_initial_ones():
    network = nn.Linear(3, 2)
    initial = parameters_of(network)
    nn.init.constant_(network.weight, 10.0)
    shrink_towards(network, initial, 1.0)
    assert (network.weight == 10).all()
    shrink_towards(network, initial, 0.25)
    torch.testing.assert_close(network.weight, 0.25 * 10 + 0.75 * initial["weight"])
    shrink_towards(network, initial, 0.0)
    torch.testing.assert_close(network.weight, initial["weight"])
