"""Klero over gRPC: thin servicers, one road from errors to statuses, and the server that wires all.

The only importers of grpc beside the client.
"""
