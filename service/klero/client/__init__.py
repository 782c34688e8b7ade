"""Klero as a caller sees it: `remote` calls a server, `batches` sends what is to be remembered.

grpc is imported when a connection is made, so that importing this costs nothing.
"""
