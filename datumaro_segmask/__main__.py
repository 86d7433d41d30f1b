"""``python -m datumaro_segmask …`` is ``datum …``, and knows the format on any machine."""

import sys
from collections.abc import Sequence

import datumaro_segmask


def main(args: Sequence[str] | None = None) -> int:
    """Run ``datum`` with *args*, ``sys.argv[1:]`` if None; return its exit code."""
    args = sys.argv[1:] if args is None else args
    # Commands of our own, which Datumaro's parser does not know, branch off here.
    datumaro_segmask.register()
    from datumaro.cli.__main__ import main as datum

    code: int = datum(list(args))
    return code


if __name__ == "__main__":
    sys.exit(main())
