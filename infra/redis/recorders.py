"""The recorders of the `eventsourcing` library (9.5) over one log: synchronous, for applications of that library.

They write the same records as `infra.redis.store`, with an empty envelope and the state that the library's mapper made.
Notification ids are the log's sequence numbers: gapless, and visible in their order at once.

Stricter than the interface: an aggregate's versions in the log are contiguous and begin at 1 or 0; originators are
UUIDs; one insert has at most 1,000 events and 1 MiB. What is raised is the library's: IntegrityError for a conflict,
DataError for what can never be stored, OperationalError and InterfaceError for the rest; the message of an
OperationalError tells whether the insert may have been done.
"""

from collections.abc import Sequence
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
    WaitInterruptedError,
)

from domain.errors import InvalidInput
from domain.recorded import START, Envelope
from infra.redis import calls, recorder_calls
from infra.redis.blocking import BlockingWires
from infra.redis.library_errors import library_errors
from infra.redis.record import Record, StoredRecord, pack, unpack
from infra.redis.recorder_calls import PackedInsert, ViewChange
from infra.redis.subscription import RedisSubscription, notification_of

PAGE_EVENTS_MAX = 500
INTERRUPT_POLL_S = 0.1
WAIT_POLL_S = 1.0

_VERSION_MAX = 2**32 - 1
_NO_ENVELOPE = Envelope()


class RedisAggregateRecorder(AggregateRecorder):
    """Records beside the log, by aggregate and version in any order: snapshots, or events without notifications."""

    def __init__(self, wires: BlockingWires, purpose: str = "events") -> None:
        self._wires = wires
        self._purpose = purpose

    @library_errors()
    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ARG002 - the interface's; there is nothing to be recorded with them
    ) -> Sequence[int] | None:
        """Keep all or none. Raises IntegrityError if a version is there already."""
        if stored_events:
            packed = [_packed(stored) for stored in stored_events]
            call = recorder_calls.keep(self._wires.keys, self._purpose, packed)
            recorder_calls.check_kept(self._wires.write(call))
        return None

    @library_errors()
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Records with versions above `gt` up to `lte`, in order or latest first."""
        aggregate_id = _uuid(originator_id)
        first, last = 0 if gt is None else gt + 1, lte
        events: list[StoredEvent] = []
        while limit is None or len(events) < limit:
            wanted = PAGE_EVENTS_MAX if limit is None else min(limit - len(events), PAGE_EVENTS_MAX)
            keys, versions = self._wires.keys, (first, last)
            call = recorder_calls.kept(keys, self._purpose, aggregate_id, versions, wanted, backwards=desc)
            page = [unpack(value, START) for value in self._wires.read(call)]
            events += map(_stored_event, page)
            if len(page) < wanted:
                break
            if desc:
                last = page[-1].record.version - 1
            else:
                first = page[-1].record.version + 1
        return events


class RedisApplicationRecorder(ApplicationRecorder):
    """Events in the log, by aggregate and by position."""

    def __init__(self, wires: BlockingWires) -> None:
        self._wires = wires

    @library_errors()
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append all or none; the notification ids, in the order of the events.

        `idempotency=IdempotencyClaim(...)` makes a repeated insert answer the first one's ids. Raises IntegrityError if
        a version does not continue its aggregate, or the claim was made for another insert.
        """
        return self._insert(stored_events, kwargs, None)

    @library_errors()
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """An aggregate's events with versions above `gt` up to `lte`, in order or latest first."""
        aggregate_id = _uuid(originator_id)
        after = -1 if gt is None else gt
        events: list[StoredEvent] = []
        while limit is None or len(events) < limit:
            wanted = PAGE_EVENTS_MAX if limit is None else min(limit - len(events), PAGE_EVENTS_MAX)
            keys = self._wires.keys
            call = calls.load(keys, aggregate_id, after, wanted, version_max=lte, backwards=desc)
            version, page = calls.loaded(self._wires.read(call))
            events += map(_stored_event, page)
            if not page:
                break
            reached = page[-1].record.version
            if reached == (after + 1 if desc else version if lte is None else min(version, lte)):
                break
            if desc:
                lte = reached - 1
            else:
                after = reached
        return events

    @library_errors()
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Up to `limit` notifications from `start` (or after it) to `stop`; with `topics`, only of those."""
        first = 1 if start is None else start if inclusive_of_start else start + 1
        first = max(first, 1)
        selected: list[Notification] = []
        while len(selected) < limit and (stop is None or first <= stop):
            wanted = PAGE_EVENTS_MAX if topics else min(limit - len(selected), PAGE_EVENTS_MAX)
            reply = self._wires.read(calls.read_range(self._wires.keys, first, stop, wanted))
            page = [notification_of(stored) for stored in calls.gapless(first, reply)]
            selected += [notification for notification in page if not topics or notification.topic in topics]
            if len(page) < wanted:
                break
            first += len(page)
        return selected[:limit]

    @library_errors()
    def max_notification_id(self) -> int | None:
        """The id of the last notification, None if there is none."""
        reply = self._wires.read(calls.read_backwards(self._wires.keys, None, 1))
        return calls.position_of(reply[0][0]).sequence if reply else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> RedisSubscription:
        """Notifications after `gt`, past ones first, then each as it is recorded."""
        return RedisSubscription(self, self._wires, gt, topics)

    def _insert(
        self, stored_events: Sequence[StoredEvent], kwargs: dict[str, Any], tracking: Tracking | None
    ) -> Sequence[int]:
        if not stored_events and tracking is None:
            return []
        insert = PackedInsert(
            [_packed(stored) for stored in stored_events],
            None if tracking is None else (tracking.application_name, tracking.notification_id),
            kwargs.get("idempotency") if stored_events else None,
        )
        reply = self._wires.write(recorder_calls.append(self._wires.keys, insert))
        last = recorder_calls.inserted(insert, reply)
        if not stored_events:
            return []
        self._wires.acknowledged(last)
        return list(range(last.sequence - len(stored_events) + 1, last.sequence + 1))


class RedisTrackingRecorder(TrackingRecorder):
    """Tracked positions by application, which only rise, together with views: hashes that its subclasses change.

    A subclass writes its view and the tracking in one step with `change`, so an event is never counted twice.
    """

    def __init__(self, wires: BlockingWires) -> None:
        self._wires = wires

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record a tracking. Raises IntegrityError unless it is above the present one."""
        self.change(tracking)

    @library_errors()
    def change(self, tracking: Tracking, *changes: ViewChange) -> None:
        """Record a tracking and change views, all or nothing. Raises IntegrityError as `insert_tracking` does."""
        pair = (tracking.application_name, tracking.notification_id)
        reply = self._wires.write(recorder_calls.track(self._wires.keys, pair, changes))
        recorder_calls.check_tracked(pair, reply)

    @library_errors()
    def view(self, name: str) -> dict[bytes, bytes]:
        """A view's fields and values."""
        reply = self._wires.read(("HGETALL", self._wires.keys.view(name)))
        return dict(zip(reply[::2], reply[1::2], strict=True))

    @library_errors()
    def max_tracking_id(self, application_name: str) -> int | None:
        """The tracked position of an application, None if nothing was tracked."""
        reply = self._wires.read(recorder_calls.tracked_position(self._wires.keys, application_name))
        return None if reply is None else int(reply)

    @library_errors()
    def wait(
        self,
        application_name: str,
        notification_id: int | None,
        timeout: float = 1.0,
        interrupt: Event | None = None,
    ) -> None:
        """Block until the position is tracked. Raises TimeoutError, or WaitInterruptedError if `interrupt` is set."""
        if self.has_tracking_id(application_name, notification_id):
            return
        deadline = monotonic() + timeout
        pause_max_s = WAIT_POLL_S if interrupt is None else INTERRUPT_POLL_S
        with self._wires.listening(self._wires.keys.track) as wire:
            # Looked at again after subscribing: what was tracked in between sends no message any more.
            while not self.has_tracking_id(application_name, notification_id):
                if interrupt is not None and interrupt.is_set():
                    raise WaitInterruptedError
                remaining_s = deadline - monotonic()
                if remaining_s <= 0:
                    message = (
                        f"'{application_name}' was not processed up to {notification_id} within {timeout} s."
                    )
                    raise TimeoutError(message)
                wire.received(min(remaining_s, pause_max_s))


class RedisProcessRecorder(RedisTrackingRecorder, RedisApplicationRecorder, ProcessRecorder):
    """Events of a process together with the position of the event that they answer."""

    @library_errors()
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append all and record `tracking`, or nothing; without events, the tracking alone."""
        return self._insert(stored_events, kwargs, kwargs.get("tracking"))


def _packed(stored: StoredEvent) -> tuple[UUID, int, bytes]:
    aggregate_id, version = _uuid(stored.originator_id), stored.originator_version
    if not 0 <= version <= _VERSION_MAX:
        raise InvalidInput(f"Version {version} cannot be stored: use 0 to {_VERSION_MAX}.")
    record = Record(uuid4(), aggregate_id, version, stored.topic, _NO_ENVELOPE, stored.state)
    return aggregate_id, version, pack(record)


def _stored_event(stored: StoredRecord) -> StoredEvent:
    record = stored.record
    return StoredEvent(record.aggregate_id, record.version, record.name, record.state)


def _uuid(originator_id: UUID | str) -> UUID:
    if isinstance(originator_id, UUID):
        return originator_id
    try:
        return UUID(originator_id)
    except ValueError as error:
        message = f"'{originator_id[:64]}' is no UUID; this event store identifies aggregates by UUIDs alone."
        raise InvalidInput(message) from error
