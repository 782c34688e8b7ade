"""Where definitions and the audit trail live, versioned by (generation, revision).

`sqlite` is the embedded implementation.
"""
