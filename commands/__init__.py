"""The write side: the Message Manager, the managers of each kind, the MCP Service, and the ports that they call."""
