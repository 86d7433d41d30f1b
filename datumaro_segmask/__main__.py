"""``datum``, which knows the format on any machine, and a few commands of our own beside it."""

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command in *args*, ``sys.argv[1:]`` if None; return its exit status."""
    try:
        from datumaro_segmask import cli
    except KeyboardInterrupt:  # while the libraries are loaded, which takes seconds at times
        return 130
    return cli.main(sys.argv[1:] if args is None else args)


if __name__ == "__main__":
    sys.exit(main())
