"""Numbers in the query: what is none is wrong input, however it looks."""

import httpx2
import pytest

from tests.api.conftest import static_tool


@pytest.mark.parametrize("number", ["--5", "-", "-5", "5-", "+5", "\u0665", "x"])
async def test_what_is_no_number_is_wrong_input(
    client: httpx2.AsyncClient, namespace: str, number: str
) -> None:
    """422 with a pointer to the parameter, wherever a number is read."""
    made = await client.post("/v1/tools", json={"namespace": namespace, "definition": static_tool()})
    item = f"/v1/tools/{made.json()['id']}"
    for path, name, more in (
        ("/v1/events", "limit", {}),
        ("/v1/search", "limit", {"q": "weather"}),
        (f"{item}/history", "after_version", {}),
    ):
        answer = await client.get(path, params={**more, name: number})
        assert answer.status_code == 422, answer.text
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/{name}"]


async def test_an_event_list_about_no_id_is_wrong_input(client: httpx2.AsyncClient) -> None:
    """As following is: an id that cannot be would match nothing for ever."""
    answer = await client.get("/v1/events", params={"subject": "notanid"})
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/subject"]
