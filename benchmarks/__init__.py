"""Measures this package beside its peers, on seeded workloads: ``python -m benchmarks``.

Run from the root of the repository. One module a concern:

* `workloads` draws the archives and the polygons; nothing is downloaded;
* `tasks` and `peers` hold what is measured: ours, Datumaro's, and other ways to the same result;
* `worker` runs one task in a process of its own, so that memory can be told apart;
* `measure` lets such processes take turns, so that a slow minute of the machine hits all alike;
* `sections` says which tasks are compared on which workload, `growth` what grows;
* `goals` is the table of goals, `report` prints.
"""
