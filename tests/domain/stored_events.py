"""Every event class of the domain by its stored name."""

from eventsourcing.domain import Aggregate, CanMutateAggregate
from eventsourcing.utils import get_topic

from domain.namespace import Namespace
from domain.prompt import Prompt
from domain.resource import Resource
from domain.tool import Tool

AGGREGATES: tuple[type[Aggregate], ...] = (Tool, Resource, Prompt, Namespace)


def stored_event_classes() -> dict[str, type[CanMutateAggregate]]:
    """The classes that aggregates trigger; the base `Event` of each is never stored."""
    return {
        get_topic(member): member
        for aggregate in AGGREGATES
        for name, member in vars(aggregate).items()
        if isinstance(member, type) and issubclass(member, CanMutateAggregate) and name != "Event"
    }
