"""The transports: REST, GraphQL, WebSocket, MCP and the command line. Translation only."""
