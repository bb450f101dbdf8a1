"""Tests of MCP over HTTP, with the official client against a real server."""
