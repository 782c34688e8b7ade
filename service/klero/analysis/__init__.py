"""Statistics of experiments: moments in, results out.

Pure: no I/O, no clock, no randomness, no logging. `judge` makes results of one iteration, `worker`
runs it in a process of its own, so that the server never pays for numpy and scipy: importing this
package or `worker` loads neither.
"""
