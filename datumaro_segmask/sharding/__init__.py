"""Archives in parts, for as many processes or machines as there are (docs/scale.md).

`plan` cuts archives into parts, `run` has them done by any ``concurrent.futures.Executor``. A part
is a pure function of small values: who runs it, where, and how often, changes nothing.
"""
