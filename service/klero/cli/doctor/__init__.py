"""`klero doctor`: checks of what is around Klero, each with a sentence and what to do.

`local` looks at the data directory and its disk, `events` at what was recorded, `server` at who
answers; `command` prints it. Nothing is changed.
"""
