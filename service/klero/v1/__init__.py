"""The public contract: messages and stubs generated from `proto/klero/v1`, never edited."""
