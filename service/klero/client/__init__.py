"""Klero as a caller sees it.

`sync` and `asynchronous` are what agents use: decisions with defaults (`asking`, `decision`), and outcomes
that are sent in the background (`recording`, `runs`, `items`, `outbox`, `delivery`) through one connection
(`transport`), whatever happens to the process (`endings`). `remote` calls any method of the contract, and
`batches` sends what is read from files.

grpc is imported when a connection is made, so that importing this costs nothing.
"""
