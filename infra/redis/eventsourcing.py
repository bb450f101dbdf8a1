"""What `PERSISTENCE_MODULE=infra.redis.eventsourcing` names, for applications of the `eventsourcing` library (9.5).

Settings, each looked up as `<APPLICATION NAME>_<KEY>` first, as everywhere in that library:

    REDIS_URL          redis://, rediss:// or unix://; required
    REDIS_DEPLOYMENT   names the logs of a deployment, by default `eventsourcing`
    REDIS_LOG          names the log itself; by default `<deployment>.<application name>`, so that each application, and
                       each view of a projection, has a log of its own, as in the library's own modules
    REDIS_DURABILITY   always (default), everysec or unverified: what is asked of the server (`infra.redis.checks`)

CREATE_TABLE has no meaning here. ORIGINATOR_ID_TYPE must be `uuid`, which is the default. This module holds one factory
class and must not hold another: the library looks for it.
"""

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from domain.errors import InvalidInput
from infra.redis.blocking import BlockingWires
from infra.redis.calls import Keys
from infra.redis.checks import Durability
from infra.redis.library_errors import library_errors
from infra.redis.recorders import (
    RedisAggregateRecorder,
    RedisApplicationRecorder,
    RedisProcessRecorder,
    RedisTrackingRecorder,
)

DEPLOYMENT_DEFAULT = "eventsourcing"


class RedisFactory(InfrastructureFactory[RedisTrackingRecorder]):
    """Makes recorders that share a bounded pool of connections to one log; `close` ends them.

    Raises InfrastructureFactoryError for a wrong setting. The first recorder connects and checks the server, and raises
    OperationalError with what to change.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get("REDIS_URL")
        if not url:
            raise InfrastructureFactoryError("REDIS_URL is not set. Give the server's URL.")
        if self.env.get("ORIGINATOR_ID_TYPE", "uuid") != "uuid":
            raise InfrastructureFactoryError(
                "ORIGINATOR_ID_TYPE must be 'uuid' with this persistence module."
            )
        try:
            durability = Durability(self.env.get("REDIS_DURABILITY", Durability.ALWAYS.value))
            self._wires = BlockingWires(url, Keys(self._log_name()), durability)
        except (InvalidInput, ValueError) as error:
            raise InfrastructureFactoryError(str(error)) from error

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return RedisAggregateRecorder(self._opened(), purpose)

    def application_recorder(self) -> ApplicationRecorder:
        topic = self.env.get(self.APPLICATION_RECORDER_TOPIC)
        recorder: type[RedisApplicationRecorder] = resolve_topic(topic) if topic else RedisApplicationRecorder
        return recorder(self._opened())

    def tracking_recorder(
        self, tracking_recorder_class: type[RedisTrackingRecorder] | None = None
    ) -> RedisTrackingRecorder:
        if tracking_recorder_class is None:
            topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
            tracking_recorder_class = resolve_topic(topic) if topic else RedisTrackingRecorder
        return tracking_recorder_class(self._opened())

    def process_recorder(self) -> ProcessRecorder:
        topic = self.env.get(self.PROCESS_RECORDER_TOPIC)
        recorder: type[RedisProcessRecorder] = resolve_topic(topic) if topic else RedisProcessRecorder
        return recorder(self._opened())

    def close(self) -> None:
        """Close the connections; recorders raise InterfaceError from now on."""
        self._wires.close()

    @library_errors()
    def _opened(self) -> BlockingWires:
        self._wires.open()
        return self._wires

    def _log_name(self) -> str:
        named = self.env.get("REDIS_LOG")
        if named:
            return named
        deployment = self.env.get("REDIS_DEPLOYMENT", DEPLOYMENT_DEFAULT)
        return f"{deployment}.{self.env.name.lower()}" if self.env.name else deployment
