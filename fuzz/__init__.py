"""Fuzzing of what reads foreign bytes; see docs/reliability.md.

* ``python -m fuzz.replay`` needs nothing but the package: corpus and mutants, for 30 seconds.
* ``python -m fuzz.run TARGET`` is guided by coverage, and needs ``pip install atheris`` (Linux).
"""
