"""Jobs of actors that another deployment works, enqueued by their name."""

from __future__ import annotations

import pytest
from rolehost.api import PayloadError, Schedule, UnknownActor, actor
from rolehost.composition.manifest import describe
from rolehost.delivery.ticks import Ticker
from rolehost.services import manifests

pytestmark = pytest.mark.needs("rolehost_embedded")


@actor(name="reports.build", queue="reports")
def build(job, day: int, title: str = "") -> None: ...


@pytest.fixture
def enqueuer(any_fleet):
    """Services of a deployment that only knows the name; another one has run before."""
    worker = any_fleet.compose("worker", actors=[build])
    any_fleet.services(worker)
    schedule = Schedule(name="daily", actor="reports.build", every=60.0, arguments={"day": 1})
    enqueues = ("reports.build", "reports.gone")
    here = any_fleet.services(any_fleet.compose("api", enqueues=enqueues, schedules=[schedule]))
    manifests.store(here.database, describe(worker), here.clock.now())
    return here


def queues(services):
    with services.database.session():
        return services.database.read("SELECT actor, queue FROM rolehost_jobs")


def test_a_job_goes_to_the_queue_of_the_deployment_that_works_it(enqueuer):
    assert enqueuer.enqueue("reports.build", day=7, title="all").created
    assert queues(enqueuer) == [("reports.build", "reports")]


@pytest.mark.parametrize(
    "given", [{"day": "7"}, {}, {"day": 1, "dya": 2}, {"day": 1, "title": float("nan")}]
)
def test_arguments_are_checked_against_its_manifest(enqueuer, given):
    with pytest.raises(PayloadError, match=r"reports\.build"):
        enqueuer.enqueue("reports.build", **given)
    assert queues(enqueuer) == []


def test_an_actor_that_no_deployment_works_is_an_error_that_says_so(enqueuer):
    with pytest.raises(UnknownActor, match="no deployment that has run on this database has it"):
        enqueuer.enqueue("reports.gone", day=1)


def test_a_schedule_may_name_an_actor_of_another_deployment(enqueuer):
    schedules = [owned.value for owned in enqueuer.composition.schedules]
    ticker = Ticker(enqueuer.delivery, schedules, "me", 15)
    ticker.step()
    with enqueuer.database.session(), enqueuer.database.transaction() as tx:
        tx.execute("UPDATE rolehost_ticks SET last_tick = last_tick - 60000")
    ticker.step()
    assert queues(enqueuer) == [("reports.build", "reports")]
