"""Commands, calls and queries through GraphQL, on the whole product."""

from typing import Any

from domain.recorded import Position
from tests.api.conftest import DEFINITIONS, Server, static_tool
from tests.api.graphql.conftest import Ask

REGISTER = """mutation ($input: RegisterToolInput!, $key: String) {
  toolRegister(input: $input, idempotencyKey: $key) { id version position event status created definitionHash }
}"""


async def register(ask: Ask, namespace: str, name: str = "weather", key: str | None = None) -> dict[str, Any]:
    """A tool, registered."""
    answer = await ask(REGISTER, input={"namespace": namespace, "definition": static_tool(name)}, key=key)
    result: dict[str, Any] = answer["data"]["toolRegister"]
    return result


async def test_a_registered_tool_is_read_back_with_its_typed_fields(ask: Ask, space: str) -> None:
    """A read with the command's position sees the tool by name, by id and as a node, and says the same each time."""
    made = await register(ask, space)
    assert made["created"]
    assert made["event"] == "tool.registered"
    answer = await ask(
        """query ($namespace: String!, $id: ID!, $position: String!) {
          named: tool(namespace: $namespace, key: "weather", minPosition: $position) { ...Fields }
          tool(id: $id) { ...Fields }
          node(id: $id) { __typename id ... on Tool { ...Fields } }
        }
        fragment Fields on Tool {
          id kind status version revision servedRevision definition definitionHash name description inputSchema
          binding provenance proposals { revision }
        }""",
        namespace=space,
        id=made["id"],
        position=made["position"],
    )
    tool = answer["data"]["tool"]
    assert answer["data"]["named"] == tool
    assert answer["data"]["node"] == {"__typename": "Tool", **tool}
    assert tool["inputSchema"] == tool["definition"]["input_schema"] == static_tool()["input_schema"]
    assert (tool["status"], tool["kind"], tool["version"]) == ("ACTIVE", "TOOL", 1)
    assert tool["definitionHash"] == made["definitionHash"]


async def test_every_kind_has_its_own_type(ask: Ask, space: str) -> None:
    """Resources, prompts and namespaces are nodes with the fields of their definitions."""
    document = """mutation ($namespace: String!, $resource: JSON!, $prompt: JSON!) {
      resourceRegister(input: {namespace: $namespace, definition: $resource}) { position }
      promptRegister(input: {namespace: $namespace, definition: $prompt}) { position }
    }"""
    made = await ask(
        document, namespace=space, resource=DEFINITIONS["resource"], prompt=DEFINITIONS["prompt"]
    )
    answer = await ask(
        """query ($namespace: String!, $position: String!) {
          resource(namespace: $namespace, key: "docs://handbook/travel", minPosition: $position) { uri mimeType name }
          prompt(namespace: $namespace, key: "summarise") { name messages arguments }
          namespace(namespace: $namespace) { name policy kind }
          resources(namespace: $namespace) { nodes { uri } }
          prompts(namespace: $namespace) { nodes { name } }
        }""",
        namespace=space,
        position=made["data"]["promptRegister"]["position"],
    )
    data = answer["data"]
    assert data["resource"] == {
        "uri": "docs://handbook/travel",
        "mimeType": "text/plain",
        "name": "Travel policy",
    }
    assert data["prompt"]["messages"] == DEFINITIONS["prompt"]["messages"]
    assert data["namespace"]["name"] == space
    assert data["resources"]["nodes"] == [{"uri": "docs://handbook/travel"}]
    assert data["prompts"]["nodes"] == [{"name": "summarise"}]


async def test_pages_hold_every_tool_once_and_any_edge_leads_on(ask: Ask, space: str) -> None:
    """Following the end cursors gives all tools in order; the cursor of an inner edge goes on right behind it."""
    names = [f"tool_{number}" for number in range(5)]
    position = [(await register(ask, space, name))["position"] for name in names][-1]
    document = """query ($namespace: String!, $after: String, $position: String) {
      tools(namespace: $namespace, first: 2, after: $after, minPosition: $position) {
        edges { cursor node { name } } pageInfo { hasNextPage endCursor } position
      }
    }"""
    seen: list[str] = []
    cursors: dict[str, str] = {}
    after = None
    while True:
        answer = await ask(document, namespace=space, after=after, position=position)
        page = answer["data"]["tools"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        cursors |= {edge["node"]["name"]: edge["cursor"] for edge in page["edges"]}
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == names
    answer = await ask(document, namespace=space, after=cursors["tool_0"])
    assert [edge["node"]["name"] for edge in answer["data"]["tools"]["edges"]] == ["tool_1", "tool_2"]


async def test_search_answers_entries_with_scores(ask: Ask, space: str) -> None:
    """The words of a description find the tool, and a disabled one only when the status is left open."""
    made = await register(ask, space)
    document = """query ($namespace: String!, $position: String, $status: Status) {
      search(query: "forecast weather", namespace: $namespace, status: $status, minPosition: $position) {
        hits { score node { __typename key status } } position
      }
    }"""
    answer = await ask(document, namespace=space, position=made["position"], status="ACTIVE")
    [hit] = answer["data"]["search"]["hits"]
    assert hit["node"] == {"__typename": "Tool", "key": "weather", "status": "ACTIVE"}
    assert hit["score"] > 0
    disabled = await ask(
        "mutation ($id: ID) { toolDisable(id: $id, expectedVersion: 1) { position } }", id=made["id"]
    )
    position = disabled["data"]["toolDisable"]["position"]
    answer = await ask(document, namespace=space, position=position, status="ACTIVE")
    assert answer["data"]["search"]["hits"] == []
    answer = await ask(document, namespace=space, position=position, status=None)
    assert [hit["node"]["status"] for hit in answer["data"]["search"]["hits"]] == ["DISABLED"]


async def test_history_and_events_tell_what_happened(ask: Ask, space: str) -> None:
    """A revision and a roll-back by namespace and key appear in the entry's history and in the log's events."""
    await register(ask, space)
    document = """mutation ($namespace: String!, $definition: JSON!) {
      toolRevise(
        namespace: $namespace, key: "weather", expectedVersion: 1, input: {definition: $definition, reason: "better"}
      ) { version revision }
      toolRollBack(namespace: $namespace, key: "weather", expectedVersion: 2, input: {toRevision: 1}) {
        version revision position
      }
    }"""
    changed = await ask(document, namespace=space, definition=static_tool(description="Better"))
    assert changed["data"]["toolRollBack"]["revision"] == 3, changed
    answer = await ask(
        """query ($namespace: String!, $position: String!) {
          tool(namespace: $namespace, key: "weather", minPosition: $position) {
            description
            all: history { nodes { type aggregateVersion reason } cursor }
            some: history(first: 1, after: "1") { nodes { aggregateVersion } cursor }
          }
          events(namespace: $namespace, types: ["tool.revised"]) { nodes { type reason actor data } }
        }""",
        namespace=space,
        position=changed["data"]["toolRollBack"]["position"],
    )
    tool = answer["data"]["tool"]
    assert tool["description"] == "Forecast"
    assert [event["aggregateVersion"] for event in tool["all"]["nodes"]] == [1, 2, 3]
    assert tool["all"]["cursor"] is None
    assert tool["some"] == {"nodes": [{"aggregateVersion": 2}], "cursor": "2"}
    [event] = answer["data"]["events"]["nodes"]
    assert event["reason"] == "better"
    assert event["data"]["definition"]["description"] == "Better"


async def test_a_repeated_command_with_its_key_answers_the_same(ask: Ask, space: str) -> None:
    """The idempotency key reaches the log: the second registration is the first one's result, not a conflict."""
    first = await register(ask, space, key=f"{space}-1")
    assert await register(ask, space, key=f"{space}-1") == first


async def test_tools_resources_and_prompts_are_used(ask: Ask, server: Server, space: str) -> None:
    """A call is a mutation; reading and rendering are queries; each by name."""
    await register(ask, space)
    document = """mutation ($namespace: String!, $resource: JSON!, $prompt: JSON!) {
      resourceRegister(input: {namespace: $namespace, definition: $resource}) { position }
      promptRegister(input: {namespace: $namespace, definition: $prompt}) { position }
    }"""
    made = await ask(
        document, namespace=space, resource=DEFINITIONS["resource"], prompt=DEFINITIONS["prompt"]
    )
    await wait_for_registry(server, made["data"]["promptRegister"]["position"])
    called = await ask(
        """mutation ($namespace: String) {
          toolCall(input: {namespace: $namespace, name: "weather", arguments: {city: "Oslo"}}) { content isError }
        }""",
        namespace=space,
    )
    assert called["data"]["toolCall"] == {"content": [{"type": "text", "text": "sunny"}], "isError": False}
    answer = await ask(
        """query ($namespace: String) {
          resourceRead(input: {namespace: $namespace, uri: "docs://handbook/travel"})
          promptRender(input: {namespace: $namespace, name: "summarise", arguments: {text: "abc"}}) {
            messages { role text }
          }
        }""",
        namespace=space,
    )
    assert answer["data"]["resourceRead"][0]["text"] == "Trains before planes."
    assert answer["data"]["promptRender"]["messages"] == [{"role": "user", "text": "Summarise: abc"}]


async def wait_for_registry(server: Server, position: str) -> None:
    """Return when what is served includes the position."""
    await server.runtime.registry.wait_for(Position.parse(position), 10)
