"""An instance as an MCP server (https://modelcontextprotocol.io): `/v1/mcp`, streamable HTTP, stateless.

Owns: what MCP clients see of an instance, its tools. Does not own: the protocol (the `mcp` SDK), the keys,
the runs: each call of a tool is a run like any other, of the channel `mcp`, whether or not it asks a model.

Stateless: each request stands alone and carries its key, so that any gateway may answer it. There is no
stream of the server's own (`GET`) and no session to end (`DELETE`). A client cancels a call by closing its
response.
"""
