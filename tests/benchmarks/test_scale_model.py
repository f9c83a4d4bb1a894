"""What the model of replicas says where the truth is known without it."""

import pytest
from benchmarks.scale_model import Shared, Work, bound, grow, play, worth

ALONE = Work(batch=100, cpu=0.001, broker=0.0001, wait=0.1)  # 0.2 s a batch: 500 events a second


@pytest.mark.parametrize("cores", [None, 2])
def test_one_replica_is_as_fast_as_its_batch_takes(cores: int | None) -> None:
    """The broker works beside it, where it has a core."""
    assert play(ALONE, replicas=1, partitions=12, cores=cores).rate == pytest.approx(500, rel=0.02)


def test_replicas_that_share_nothing_are_so_many_times_as_fast_until_the_brokers_are_busy() -> None:
    played = grow(ALONE, (1, 4, 64, 1000))
    assert [one.rate for one in played[:3]] == pytest.approx([500, 2000, 32_000], rel=0.05)
    assert played[3].rate == pytest.approx(120_000)  # 12 cores, 0.1 ms each
    assert bound(ALONE, played[3]) == "12 cores of brokers"


def test_replicas_without_a_partition_do_nothing() -> None:
    assert play(ALONE, replicas=8, partitions=2).rate == pytest.approx(1000, rel=0.02)


def test_on_two_cores_no_more_is_done_than_two_cores_can() -> None:
    of_two_cores = 2 / (ALONE.cpu + ALONE.broker)
    assert play(ALONE, replicas=12, partitions=12, cores=2).rate == pytest.approx(
        of_two_cores, rel=0.02
    )


@pytest.mark.parametrize("shared", [Shared.lock, Shared.log])
def test_what_one_at_a_time_writes_bounds_all(shared: Shared) -> None:
    work = Work(batch=100, cpu=0.001, broker=0, wait=0, shared=shared, exclusive=0.02)
    played = grow(work, (1, 2, 200))
    assert played[1].rate == pytest.approx(2 * played[0].rate, rel=0.1)
    at_most = 100 / 0.02
    assert 0.7 * at_most < played[2].rate < 1.45 * at_most  # attempts aren't all equally long
    assert bound(work, played[2]) == shared.value
    assert worth(played) == 2


def test_writers_of_one_log_try_again_and_again_and_those_of_a_lock_wait() -> None:
    attempts = {
        shared: play(
            Work(batch=100, cpu=0, broker=0, wait=0.1, shared=shared, exclusive=0.02),
            replicas=100,
            partitions=100,
        ).attempts
        for shared in (Shared.log, Shared.lock)
    }
    assert attempts[Shared.log] > 10
    assert attempts[Shared.lock] == pytest.approx(1, abs=0.3)  # some have begun and not ended
