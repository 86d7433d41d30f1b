"""``datum``, which knows the format on any machine, and a few commands of our own beside it."""

import sys
from collections.abc import Sequence

import datumaro_segmask


def main(args: Sequence[str] | None = None) -> int:
    """Run the command in *args*, ``sys.argv[1:]`` if None; return its exit code."""
    args = list(sys.argv[1:] if args is None else args)
    from datumaro_segmask import cli

    if args[:1] in (["-h"], ["--help"]):
        print(cli.overview(), end="")
        return 0
    if args and args[0] in cli.COMMANDS:
        return cli.main(args)
    datumaro_segmask.register()
    from datumaro.cli.__main__ import main as datum

    code: int = datum(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
