"""Tests of api/websocket over real connections."""
