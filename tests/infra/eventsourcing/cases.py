"""The library's own test cases, bound to this persistence module. Nothing in them is changed or left out.

The cases of its projections of tagged decisions (DCB) are not here: those need another kind of recorder.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast
from unittest import TestCase, TestLoader

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ProcessRecorder,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.tests.application import ApplicationTestCase, ExampleApplicationTestCase
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    InfrastructureFactoryTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
    TrackingRecorderTestCase,
)
from eventsourcing.tests.projection import (
    AggregateEventCountersProjectionTestCase,
    EventCountersView,
    EventCountersViewTestCase,
    EventSourcedProjectionTestCase,
)
from eventsourcing.utils import Environment, get_topic

from infra.redis.eventsourcing import RedisFactory
from infra.redis.recorder_calls import ViewChange
from infra.redis.recorders import (
    RedisAggregateRecorder,
    RedisApplicationRecorder,
    RedisProcessRecorder,
    RedisTrackingRecorder,
)

MODULE = "infra.redis.eventsourcing"


@contextmanager
def factory() -> Iterator[RedisFactory]:
    """A factory on the server and deployment of this process's environment."""
    made = RedisFactory(Environment(env=os.environ))
    try:
        yield made
    finally:
        made.close()


class _WithFactory(TestCase):
    """What the cases of recorders share: a factory that is closed at the end."""

    def setUp(self) -> None:
        self.factory = self.enterContext(factory())


class AggregateRecorderCase(_WithFactory, AggregateRecorderTestCase):
    """Events of aggregates without notifications."""

    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder()


class SnapshotRecorderCase(AggregateRecorderCase):
    """The same for snapshots."""

    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder(purpose="snapshots")


class ApplicationRecorderCase(_WithFactory, ApplicationRecorderTestCase[ApplicationRecorder]):
    """Events with notifications."""

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TrackingRecorderCase(_WithFactory, TrackingRecorderTestCase):
    """Tracked positions."""

    def create_recorder(self) -> TrackingRecorder:
        return self.factory.tracking_recorder()


class ProcessRecorderCase(_WithFactory, ProcessRecorderTestCase):
    """Events with notifications and tracked positions."""

    def create_recorder(self) -> ProcessRecorder:
        return self.factory.process_recorder()


class ProcessAsApplicationRecorderCase(ApplicationRecorderCase):
    """A process recorder is an application recorder too."""

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.process_recorder()


class NonInterleavingCase(_WithFactory, NonInterleavingNotificationIDsBaseCase):
    """Two inserts of 1,000 events each."""

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()


class FactoryCase(InfrastructureFactoryTestCase[RedisFactory]):
    """The infrastructure factory."""

    def setUp(self) -> None:
        self.env = Environment(env={**os.environ})
        super().setUp()

    def expected_factory_class(self) -> type[RedisFactory]:
        return RedisFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return RedisAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return RedisApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return RedisTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return EventCounters

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return RedisProcessRecorder


class EventCounters(RedisTrackingRecorder, EventCountersView):
    """A view as its users write it: two counters that change together with the tracking."""

    def get_created_event_counter(self) -> int:
        return self._counter("created")

    def get_subsequent_event_counter(self) -> int:
        return self._counter("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self.change(tracking, ViewChange("HINCRBY", "counters", "created", 1))

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self.change(tracking, ViewChange("HINCRBY", "counters", "subsequent", 1))

    def _counter(self, name: str) -> int:
        return int(self.view("counters").get(name.encode(), b"0"))


class EventCountersViewCase(_WithFactory, EventCountersViewTestCase):
    """The view by itself."""

    def construct_event_counters_view(self) -> EventCountersView:
        return cast("EventCounters", self.factory.tracking_recorder(EventCounters))


class EventCountersProjectionCase(AggregateEventCountersProjectionTestCase):
    """The view filled by a projection runner."""

    view_class = EventCounters


class EventSourcedProjectionCase(EventSourcedProjectionTestCase):
    """A projection whose view is an event-sourced application."""

    env: ClassVar[dict[str, str]] = {}


class ExampleApplicationCase(ExampleApplicationTestCase):
    """Bank accounts."""

    expected_factory_topic = get_topic(RedisFactory)


class ApplicationCase(ApplicationTestCase):
    """Applications with caches and many threads."""


CASES: tuple[type[TestCase], ...] = (
    AggregateRecorderCase,
    SnapshotRecorderCase,
    ApplicationRecorderCase,
    TrackingRecorderCase,
    ProcessRecorderCase,
    ProcessAsApplicationRecorderCase,
    NonInterleavingCase,
    FactoryCase,
    EventCountersViewCase,
    EventCountersProjectionCase,
    EventSourcedProjectionCase,
    ExampleApplicationCase,
    ApplicationCase,
)


def all_tests() -> dict[str, TestCase]:
    """Every test of every case, by its name."""
    loader = TestLoader()
    return {
        f"{case.__name__}.{name}": cast("Any", case)(name)
        for case in CASES
        for name in loader.getTestCaseNames(case)
    }
