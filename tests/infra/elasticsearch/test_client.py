"""The connection: what settings accept, what is repeated, and that errors are sentences without credentials."""

import logging
import traceback

import pytest

from domain.errors import Unavailable
from infra.elasticsearch.client import (
    ATTEMPTS_MAX,
    Cluster,
    ElasticsearchSettings,
    RequestRefused,
    open_cluster,
)
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from tests.infra.elasticsearch.scripted_server import ScriptedServer

HEALTHY = {"status": "green"}
BUSY = {"error": {"type": "es_rejected_execution_exception", "reason": "queue is full"}, "status": 429}


async def ping(settings: ElasticsearchSettings) -> None:
    async with open_cluster(settings) as cluster:
        await cluster.ping()


@pytest.mark.parametrize(
    ("url", "address", "auth"),
    [
        ("http://127.0.0.1:9200", "http://127.0.0.1:9200", None),
        ("https://es.example/", "https://es.example:443", None),
        ("http://ann:p%40ss%2F@[::1]:9200/es", "http://[::1]:9200/es", ("ann", "p@ss/")),
    ],
)
def test_the_address_has_no_credentials(url: str, address: str, auth: tuple[str, str] | None) -> None:
    """The address is what messages show; the credentials are decoded and kept apart."""
    settings = ElasticsearchSettings(url, prefix="p")
    assert (settings.address, settings.basic_auth) == (address, auth)


def test_the_representation_shows_no_secret() -> None:
    """Settings end up in logs by accident; the secrets in them must not."""
    shown = repr(ElasticsearchSettings("http://ann:geheim@h:1", api_key="c2VjcmV0"))
    assert "geheim" not in shown
    assert "c2VjcmV0" not in shown


@pytest.mark.parametrize(
    "url", ["ann:geheim@h:9200", "ftp://ann:geheim@h", "http://ann:ge/heim@h", "http://"]
)
def test_an_unusable_url_is_refused_without_repeating_it(url: str) -> None:
    """A typing error in the URL is found at start, and the message holds no part of the password."""
    with pytest.raises(ValueError, match="not usable") as caught:
        ElasticsearchSettings(url)
    assert "heim" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("prefix", ["", "Big", "-a", "a*", "a,b"])
def test_a_prefix_that_cannot_begin_an_index_name_is_refused(prefix: str) -> None:
    """A wildcard or a comma in the prefix would reach other people's indices."""
    with pytest.raises(ValueError, match="cannot begin the name of an index"):
        ElasticsearchSettings("http://h:1", prefix=prefix)


@pytest.mark.parametrize("api_key", ["", "geheim\n", "ge heim", "gehäim"])
def test_an_unusable_api_key_is_refused_without_repeating_it(api_key: str) -> None:
    """A line end that was copied along is found at start, not by a failing request."""
    with pytest.raises(ValueError, match="API key of Elasticsearch is not usable") as caught:
        ElasticsearchSettings("http://h:1", api_key=api_key)
    assert "geh" not in "".join(traceback.format_exception(caught.value))


async def test_a_refused_connection_says_where_and_what_to_check(no_wait: None) -> None:
    """The operator learns the address, without the password, and the setting to look at."""
    with pytest.raises(Unavailable) as caught:
        await ping(ElasticsearchSettings("http://ann:geheim@127.0.0.1:1"))
    assert "Elasticsearch at http://127.0.0.1:1 cannot be reached" in caught.value.message
    assert "CHRONICLE_ELASTICSEARCH_URL" in caught.value.message
    assert "geheim" not in caught.value.message


async def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    server: ScriptedServer, no_wait: None
) -> None:
    """429, 502 and 503 pass by; the caller does not see them."""
    server.script = [(429, BUSY), (502, {}), (503, {}), (200, HEALTHY)]
    await ping(ElasticsearchSettings(server.url))
    assert len(server.requests) == 4


async def test_repetitions_are_bounded(server: ScriptedServer, no_wait: None) -> None:
    """A server that stays busy is given up on, with its own reason in the message."""
    server.script = [(429, BUSY)]
    with pytest.raises(Unavailable, match=r"429, queue is full"):
        await ping(ElasticsearchSettings(server.url))
    assert len(server.requests) == ATTEMPTS_MAX


async def test_a_silent_server_is_given_up_on_after_the_timeout(server: ScriptedServer) -> None:
    """A request that hangs is not repeated: the caller's time would be gone."""
    server.script = [(200, None)]
    with pytest.raises(Unavailable, match=r"did not answer within 0\.1 s"):
        await ping(ElasticsearchSettings(server.url, request_timeout_s=0.1))
    assert len(server.requests) == 1


async def test_missing_rights_name_the_indices_to_grant(server: ScriptedServer) -> None:
    """403 is about rights, not about the password."""
    server.script = [(403, {"error": {"type": "security_exception", "reason": "action is unauthorized"}})]
    with pytest.raises(Unavailable, match=r"lack the rights \(403\).*'mine-\*'"):
        await ping(ElasticsearchSettings(server.url, prefix="mine"))
    assert len(server.requests) == 1


async def test_an_api_key_is_sent_and_never_shown(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The key goes into the header, before a password of the URL; a message hides it even if the server repeats it."""
    caplog.set_level(logging.INFO)
    server.script = [(400, {"error": {"type": "x", "reason": "odd header ApiKey c2VjcmV0"}})]
    url = server.url.replace("http://", "http://ann:geheim@")
    with pytest.raises(RequestRefused, match=r"odd header ApiKey \*\*\*") as caught:
        await ping(ElasticsearchSettings(url, api_key="c2VjcmV0"))
    assert server.requests[0][1]["authorization"] == "ApiKey c2VjcmV0"
    shown = caught.value.message + caplog.text
    assert "c2VjcmV0" not in shown
    assert "geheim" not in shown


async def test_red_indices_are_not_ready(server: ScriptedServer) -> None:
    """An answering server is not enough: our primary shards must be there."""
    server.script = [(200, {"status": "red"})]
    with pytest.raises(Unavailable, match="status red"):
        await ping(ElasticsearchSettings(server.url))


async def test_a_ping_before_any_index_is_ready(cluster: Cluster) -> None:
    """A new deployment is ready: its indices are made by their first use."""
    await cluster.ping()
    await ElasticsearchMetadata(cluster).checkpoint()
    await cluster.ping()
