"""MCP over Streamable HTTP, on the official SDK: translation only, every decision is the MCP Service's."""
