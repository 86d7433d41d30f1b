"""Archives in parts, for as many processes or machines as there are (docs/scale.md).

`plan` cuts archives into parts, `run` has them done by any ``concurrent.futures.Executor``. A part
is a pure function of small values: who runs it, where, and how often, changes nothing.
"""

from .manifest import ShardSink
from .parts import Part, Reading, make_plan
from .run import Found, Kind, dask_cluster, make_manifest, run, run_in_processes
from .shards import CocoShards, ParquetShards, ZipShards
from .table import MaskTable, Row, make_table, rows_of, write_parquet

__all__ = [
    "CocoShards", "Found", "Kind", "MaskTable", "ParquetShards", "Part", "Reading", "Row",
    "ShardSink", "ZipShards", "dask_cluster", "make_manifest", "make_plan", "make_table", "rows_of",
    "run", "run_in_processes", "write_parquet",
]  # fmt: skip
