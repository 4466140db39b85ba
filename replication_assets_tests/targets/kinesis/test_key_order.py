"""Whatever is refused and however often: no message of a key goes before an earlier one stands."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from replication_assets.targets.kinesis.key_order import KeyOrder

MESSAGES = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(1, 9)), max_size=30)


def rounds(order: KeyOrder, most: int, most_bytes: int, taken: Iterator[bool]) -> Iterator[list[int]]:
    """Those that were taken, by rounds."""
    while order:
        chosen = order.take(most, most_bytes)
        stand = []
        for at in chosen:
            if next(taken):
                order.stands(at)
                stand.append(at)
            else:
                order.again(at)
        yield stand


@given(MESSAGES, st.integers(1, 6), st.integers(1, 20), st.lists(st.booleans(), max_size=60))
def test_every_message_is_taken_once_and_those_of_a_key_in_their_order(
    messages: list[tuple[bytes, int]], most: int, most_bytes: int, refused: list[bool]
) -> None:
    keys, sizes = [key for key, _ in messages], [size for _, size in messages]

    def answers() -> Iterator[bool]:
        yield from refused
        while True:
            yield True

    stand = list(rounds(KeyOrder(keys, sizes), most, most_bytes, answers()))
    every = [at for each in stand for at in each]
    assert sorted(every) == list(range(len(messages)))
    for key in set(keys):
        own = [at for at in every if keys[at] == key]
        assert own == sorted(own)
    for each in stand:
        assert len(each) <= most
        assert len({keys[at] for at in each}) == len(each)


@given(MESSAGES.filter(bool), st.integers(1, 6), st.integers(1, 20))
def test_no_round_has_more_bytes_than_it_may_unless_it_has_one_message(
    messages: list[tuple[bytes, int]], most: int, most_bytes: int
) -> None:
    sizes = [size for _, size in messages]
    order = KeyOrder([key for key, _ in messages], sizes)
    while order:
        chosen = order.take(most, most_bytes)
        assert len(chosen) == 1 or sum(sizes[at] for at in chosen) <= most_bytes
        for at in chosen:
            order.stands(at)
