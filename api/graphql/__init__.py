"""GraphQL at `/graphql`: queries over the projections, mutations from the operation table.

`schema` builds the schema, `types`, `queries` and `generated` its parts, `limits` its bounds, `endpoint` the route.
"""

from api.graphql.endpoint import graphql_extension, graphql_router

__all__ = ["graphql_extension", "graphql_router"]
