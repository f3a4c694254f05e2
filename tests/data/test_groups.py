"""Images that belong together stay together in a split."""

import pytest
import torch

from bayesft.data.split import split_indices


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 5, 20, 0.3])
def test_no_group_is_divided(size, seed):
    groups = torch.tensor([7] * 5 + [3] * 1 + [0] * 9 + [12] * 15 + [4] * 10)
    groups = groups[torch.randperm(40, generator=torch.Generator().manual_seed(100 + seed))]
    kept, aside = split_indices(40, size, seed, groups=groups)
    assert sorted([*kept.tolist(), *aside.tolist()]) == list(range(40))
    assert not set(groups[kept].tolist()) & set(groups[aside].tolist())
    wanted = 12 if size == 0.3 else size
    assert len(aside) >= wanted
    # Without the group that came last there would be too few.
    assert len(aside) - int((groups == groups[aside[-1]]).sum()) < wanted


def test_groups_of_one_are_no_groups():
    plain = split_indices(30, 8, 4)
    for groups in (torch.arange(30), torch.arange(30).flip(0)):
        assert all(map(torch.equal, split_indices(30, 8, 4, groups=groups), plain))


def test_a_part_is_of_all_images():
    assert [len(each) for each in split_indices(40, 0.25, 0)] == [30, 10]
    assert [len(each) for each in split_indices(40, 0.001, 0)] == [39, 1]
