"""The durable, ordered record.

`sqlite` stores frames, `frames` reads them, `checking`, `repair` and `salvage` look after them; `writer` is the
one thread that appends, `space` its guard; `checkpoints` and `checkpointer` keep what was folded, and
`replay` brings it back.
"""
