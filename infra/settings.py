"""The program's settings: environment variables that begin with CHRONICLE_, and nothing else (no `.env`, no file).

Read once, at the start, by whoever starts the program. A variable that is not known is an error, so that a misspelt
one is not taken for a default. What may hold a password is kept so that no repr, log line or `describe` shows it.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.errors import ChronicleError

PREFIX = "CHRONICLE_"
FOREIGN_PREFIXES = ("CHRONICLE_SECRET_", "CHRONICLE_TEST_")
"""Variables that are not settings: the values of secrets, and what only the tests read."""

REDACTED = "[redacted]"
REQUEST_DEADLINE_S_MAX = 600.0

Role: TypeAlias = Literal["api", "projector"]
ROLES: frozenset[Role] = frozenset(get_args(Role))

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_EVERY_INTERFACE = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - compared with, not bound to

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")


class ConfigurationError(ChronicleError):
    """The program cannot start as it is configured. The message says which value, and what would be right."""

    code = "configuration"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _scheme_of(*schemes: str) -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            _ = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in schemes or not (parts.hostname or parts.scheme == "unix"):
            raise ValueError(f"must be a URL with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return url

    return AfterValidator(check)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


CommaSeparated: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
RedisUrl: TypeAlias = Annotated[SecretStr, _scheme_of("redis", "rediss", "unix")]
HttpUrl: TypeAlias = Annotated[SecretStr, _scheme_of("http", "https")]


class Settings(BaseSettings):
    """Every setting. Make one with `Settings.load()`, whose errors are fit for people."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=None, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    data_dir: Path = Path("var")
    """Where the embedded servers, the search index and the administrator key live."""
    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes any port that is free."""
    url: str = Field(default_factory=lambda values: _base_url(values["host"], values["port"]))
    """Where the command line finds the running program."""
    admin_key_file: Path = Field(default_factory=lambda values: values["data_dir"] / "admin.key")

    redis_url: RedisUrl | None = None
    """A server for the log instead of the embedded one."""
    cache_url: RedisUrl | None = None
    elasticsearch_url: HttpUrl | None = None
    elasticsearch_api_key: SecretStr | None = None

    deployment: str = Field(default="chronicle", pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    """Tells deployments on one server apart: the hash tag of every key, the prefix of every index."""
    roles: Annotated[frozenset[Role], NoDecode, BeforeValidator(_split)] = ROLES
    durability: Literal["always", "everysec", "unverified"] = "always"
    """What the log's server must promise; `unverified` starts without looking."""

    secrets_dir: Path = Field(default_factory=lambda values: values["data_dir"] / "secrets")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
    ] = "info"
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_lower)] = "console"
    request_deadline_s: float = Field(default=30.0, gt=0, le=REQUEST_DEADLINE_S_MAX)
    allowed_hosts: CommaSeparated = Field(default_factory=lambda values: _own_hosts(values["host"]))
    """What a Host header may name, without a port or with one."""
    allowed_origins: CommaSeparated = Field(
        default_factory=lambda values: tuple(
            _base_url(host, values["port"]) for host in _own_hosts(values["host"])
        )
    )

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """The settings of the environment; `overrides` (by field name, e.g. from options) win.

        Raises ConfigurationError that names every wrong variable and holds no value.
        """
        unknown = [_unknown(name, cls.model_fields) for name in _unknown_names(os.environ, cls.model_fields)]
        if unknown:
            raise ConfigurationError(" ".join(unknown))
        try:
            return cls(**overrides)
        except ValidationError as error:
            faults = [
                f"{_variable(str(fault['loc'][0]))}: {fault['msg'].removeprefix('Value error, ')}."
                for fault in error.errors(include_input=False, include_context=False, include_url=False)
                if fault["type"] != "default_factory_not_called"  # the consequence of another fault
            ]
            raise ConfigurationError(" ".join(faults)) from None

    @field_validator("roles")
    @classmethod
    def _there_is_a_role(cls, roles: frozenset[Role]) -> frozenset[Role]:
        if not roles:
            raise ValueError(f"name at least one of {', '.join(sorted(ROLES))}")
        return roles

    @field_validator("url")
    @classmethod
    def _url_is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("must be an http:// or https:// URL without a user")
        return url.rstrip("/")

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host.lower()):
                raise ValueError(
                    f"'{host[:100]}' is not a host name; name each host, there is no pattern for any"
                )
        return tuple(host.lower() for host in hosts)

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin.lower())
            if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc) or parts.path:
                raise ValueError(f"'{origin[:100]}' is not an origin such as https://console.example.org")
        return tuple(origin.lower() for origin in origins)

    def describe(self) -> dict[str, str]:
        """Every setting in effect, by the name of its variable, with passwords and keys redacted."""
        return {_variable(name): _shown(name, getattr(self, name)) for name in type(self).model_fields}


def redacted_url(url: str) -> str:
    """A URL without what may be a password: user, password and query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(
            netloc=f"{REDACTED}{at}{host}" if user else host,
            query=REDACTED if parts.query else "",
            fragment="",
        )
    )


def _shown(field: str, value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return redacted_url(value.get_secret_value()) if field.endswith("_url") else REDACTED
        case frozenset() | tuple():
            return ",".join(sorted(value) if isinstance(value, frozenset) else value)
        case _:
            return str(value)


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _unknown_names(names: Iterable[str], fields: Iterable[str]) -> list[str]:
    known = {_variable(field) for field in fields}
    return sorted(
        name
        for name in names
        if name.upper().startswith(PREFIX)
        and not name.upper().startswith(FOREIGN_PREFIXES)
        and name.upper() not in known
    )


def _unknown(name: str, fields: Iterable[str]) -> str:
    known = sorted(_variable(field) for field in fields)
    nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
    return f"There is no setting {name}. The nearest is {nearest[0]}; correct the name or unset it."


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _base_url(host: str, port: int) -> str:
    return f"http://{LOOPBACK_HOSTS[0] if host in _EVERY_INTERFACE else _bracketed(host)}:{port}"


def _own_hosts(host: str) -> tuple[str, ...]:
    own = () if host in _EVERY_INTERFACE else (_bracketed(host.lower()),)
    return tuple(dict.fromkeys((*LOOPBACK_HOSTS, *own)))
