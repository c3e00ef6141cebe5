import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepladder.streams import stream, stream_seed

names = st.lists(st.text() | st.integers(0, 100), max_size=3).map(tuple)


@given(seed=st.integers(0), name=names)
def test_a_stream_repeats_itself(seed: int, name: tuple[str | int, ...]) -> None:
    assert torch.equal(torch.rand(4, generator=stream(seed, *name)), torch.rand(4, generator=stream(seed, *name)))


@given(st.lists(st.tuples(st.integers(0), names), min_size=2, max_size=20, unique_by=repr))
def test_no_two_streams_are_alike(origins: list[tuple[int, tuple[str | int, ...]]]) -> None:
    assert len({stream_seed(seed, *name) for seed, name in origins}) == len(origins)


@given(seed=st.integers(0), name=names)
def test_a_stream_seed_is_one_that_torch_takes(seed: int, name: tuple[str | int, ...]) -> None:
    assert 0 <= stream_seed(seed, *name) < 2**63


@pytest.mark.parametrize("other", [(1, "order", 0), (0, "dropout", 0), (0, "order", 1), (0, "order", "0"), (0, "order")])
def test_seed_name_and_place_each_make_another_stream(other: tuple[int, *tuple[str | int, ...]]) -> None:
    first = torch.rand(1000, generator=stream(0, "order", 0))
    second = torch.rand(1000, generator=stream(*other))
    assert not torch.isin(first, second).sum() > 5  # float32 in [0, 1) has 2**24 values: chance gives about none
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.15


def test_a_stream_is_untouched_by_what_another_draws() -> None:
    alone = torch.rand(8, generator=stream(0, "order", 0))
    order, dropout = stream(0, "order", 0), stream(0, "dropout", 0)
    torch.rand(100, generator=dropout)
    torch.rand(100)
    assert torch.equal(torch.rand(8, generator=order), alone)


def test_streams_neither_read_nor_move_the_global_one() -> None:
    before = torch.random.get_rng_state()
    torch.rand(8, generator=stream(0, "order", 0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_stream_seeds_are_those_that_records_were_made_with() -> None:
    # Another value means that every recorded run would come out differently under the same fingerprint.
    assert stream_seed(0, "order", 0) == 822864071684415769
