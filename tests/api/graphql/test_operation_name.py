"""Which operation of a document is executed."""

import httpx2
import pytest

TWO = "query A { a: __typename } query B { b: __typename }"


async def test_one_of_several_operations_must_be_named(http: httpx2.AsyncClient, graphql_url: str) -> None:
    """None is executed for a guess (GraphQL 2021, 6.1: GetOperation)."""
    answer = (await http.post(graphql_url, json={"query": TWO})).json()
    assert answer["data"] is None
    [error] = answer["errors"]
    assert "operationName" in error["message"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize(("name", "alias"), [("A", "a"), ("B", "b")])
async def test_the_named_operation_is_executed(
    http: httpx2.AsyncClient, graphql_url: str, name: str, alias: str
) -> None:
    """It alone."""
    answer = (await http.post(graphql_url, json={"query": TWO, "operationName": name})).json()
    assert answer == {"data": {alias: "Query"}}
