"""`selfcheck`, in processes of their own: what Datumaro has found cannot be unfound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

SOURCE = Path(__file__).parents[2]
DOORS = {
    # As the start-up file does it; then nothing but the package itself.
    "start-up": "from datumaro_segmask import _startup; _startup.install()",
    "none": "import sys; sys.meta_path = [f for f in sys.meta_path if 'Specs' not in str(f)]",
}


def selfcheck(door: str, *options: str) -> tuple[int, str]:
    code = f"{DOORS[door]}\nfrom datumaro_segmask.__main__ import main; exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "selfcheck", *options],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_found() -> None:
    status, text = selfcheck("start-up", "--json")
    facts = json.loads(text)
    assert status == facts["status"] == 0
    assert facts["found"] is True
    assert facts["startup_active"] is True
    assert facts["round_trip"] == "ok"
    assert facts["deflate"] in ("zlib", "zlib-ng")
    assert facts["versions"]["python"] == sys.version.split()[0]


def test_not_found() -> None:
    """The format works all the same, and the report says how."""
    status, text = selfcheck("none")
    assert status == 1
    lines = dict(line.split("  ", 1) for line in text.splitlines())
    assert lines["Datumaro finds it"].startswith("no: ")
    assert "register()" in lines["Datumaro finds it"]
    assert lines["round trip"].strip() == "ok"


def test_round_trip_that_fails(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro_segmask.__main__ import main
    from datumaro_segmask.cli import selfcheck as command

    monkeypatch.setattr(command, "_content", lambda dataset: id(dataset))
    assert main(["selfcheck"]) == 1
    assert "what comes back from a folder differs" in capsys.readouterr().out


def test_export_that_fails(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro_segmask.__main__ import main
    from datumaro_segmask.plugin.export.exporter import SegmaskExporter

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(SegmaskExporter, "convert", fail)
    assert main(["selfcheck"]) == 1
    assert "RuntimeError: no room" in capsys.readouterr().out


def test_distribution_without_metadata(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """As in an application that was packed into one file."""
    from datumaro_segmask.__main__ import main

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("datumaro_segmask.cli.selfcheck.version", version)
    main(["selfcheck", "--json"])
    assert json.loads(capsys.readouterr().out)["versions"]["numpy"] == "not found"


def test_found_by_the_start_up_file() -> None:
    _, text = selfcheck("start-up")
    assert "yes, by the start-up file" in text


def test_switched_off(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro_segmask.__main__ import main

    monkeypatch.setenv("DATUMARO_SEGMASK_AUTOLOAD", "0")
    main(["selfcheck"])
    assert "switched off by DATUMARO_SEGMASK_AUTOLOAD=0" in capsys.readouterr().out


@pytest.mark.parametrize("packages", [["opencv-python-headless"], []], ids=["one", "unknown"])
def test_one_opencv(packages: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro_segmask.__main__ import main

    held = {"cv2": packages * 2} if packages else {}
    monkeypatch.setattr("datumaro_segmask.cli.selfcheck.packages_distributions", lambda: held)
    main(["selfcheck"])
    assert "overwrite each other" not in capsys.readouterr().out


def test_two_packages_that_hold_opencv(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from datumaro_segmask.__main__ import main

    held = {"cv2": ["opencv-python-headless", "opencv-python"]}
    monkeypatch.setattr("datumaro_segmask.cli.selfcheck.packages_distributions", lambda: held)
    main(["selfcheck"])
    said = capsys.readouterr().out
    assert "opencv-python and opencv-python-headless overwrite each other." in said
    assert (
        "type 'pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python'"
        in said
    )


@pytest.mark.parametrize("case", ["forbidden", "no site", "target", "source tree", "not read"])
def test_advice_fits_the_case(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datumaro_segmask
    from datumaro_segmask.cli import selfcheck as command

    package = tmp_path / "datumaro_segmask/__init__.py"
    monkeypatch.setattr(datumaro_segmask, "__file__", str(package))
    there = None
    if case == "forbidden":
        monkeypatch.setenv("DATUMARO_SEGMASK_AUTOLOAD", "0")
    elif case == "no site":
        flags = SimpleNamespace(no_site=1)
        monkeypatch.setattr(command, "sys", SimpleNamespace(flags=flags))
    elif case == "target":
        (tmp_path / "datumaro_segmask.pth").write_text("")
    elif case == "not read":
        there = "site-packages/datumaro_segmask.pth"
    advice = command._advice(there)
    assert advice.startswith(
        {
            "forbidden": "DATUMARO_SEGMASK_AUTOLOAD=0 forbids it. Unset it;",
            "no site": "Python was started with -S, and reads no start-up files. Leave -S out;",
            "target": f"the package was put into {tmp_path} (by 'pip install --target')",
            "source tree": "the package is not installed, but taken from",
            "not read": "site-packages/datumaro_segmask.pth was not read. Type 'pip install",
        }[case]
    )
    assert "datumaro_segmask.register(); or type 'python -m datumaro_segmask' for" in advice


def test_switched_off_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMARO_SEGMASK_AUTOLOAD", "0")
    status, text = selfcheck("start-up")
    assert status == 1
    assert "no: DATUMARO_SEGMASK_AUTOLOAD=0 forbids it. Unset it;" in text
