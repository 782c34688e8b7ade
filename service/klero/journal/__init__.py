"""The durable, ordered record: `sqlite` stores frames, `writer` is the one thread that appends them."""
