"""How Datumaro finds the format: entry points, start-up file, `register`, ``python -m``.

What a test changes in an interpreter would outlive it, so most of them start one of their own.
Such an interpreter gets what a user gets, from ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from configparser import ConfigParser
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from pathlib import Path
from textwrap import dedent

import pytest

from datumaro_segmask import _startup
from datumaro_segmask._bridge import PLUGINS

ROOT = Path(__file__).parents[2]
LISTED = "from datumaro.components.environment import Environment; env = Environment(); "
IMPORTERS = (  # those that detection asks about the given extensions
    "groups = env.importers and env.importers.extension_groups; "
    "importers = lambda *extensions: [name for e in extensions for name, _ in groups[e]]; "
)
INSTALLED = "from datumaro_segmask import _startup; _startup.install(); "

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def interpret(
    python: str, *arguments: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end, with more environment; it must succeed."""
    result = subprocess.run(
        [python, *arguments],
        cwd=cwd,
        env={**os.environ, _startup.SWITCH: "", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run this interpreter in *tmp_path*, which is on its path as this source tree is."""
    paths = [str(ROOT), str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return partial(interpret, sys.executable, cwd=tmp_path, PYTHONPATH=os.pathsep.join(paths))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The least that is an archive of the format: a label map, a list, and no mask."""
    folder = tmp_path / "archive"
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    (folder / "SegmentationClass").mkdir()
    (folder / "ImageSets" / "Segmentation" / "default.txt").write_text("a\n")
    (folder / "labelmap.txt").write_text("background:0,0,0::\ncat:1,2,3::\n")
    return folder


@pytest.fixture
def zipped(archive: Path) -> Path:
    target = archive.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as file:
        for path in archive.rglob("*.txt"):
            file.write(path, path.relative_to(archive))
    return target


class TestTable:
    def test_setup_cfg_declares_it(self) -> None:
        config = ConfigParser()
        config.read(ROOT / "setup.cfg", encoding="utf-8")
        declared = config["options.entry_points"]["datumaro.plugins"].strip()
        assert declared == "segmask = datumaro_segmask._bridge:PLUGINS"

    def test_has_the_shape_of_datumaros_own(self) -> None:
        from datumaro.plugins import specs

        rows = json.loads(Path(specs.__file__).with_name("specs.json").read_text("utf-8"))
        keys = {key for row in rows for key in row}
        for row in PLUGINS:
            assert set(row) <= keys
            assert row["plugin_type"] in {row["plugin_type"] for row in rows}

    @pytest.mark.parametrize("row", PLUGINS, ids=lambda row: row["import_path"])
    def test_names_what_there_is(self, row: dict[str, str]) -> None:
        module, _, name = row["import_path"].rpartition(".")
        plugin = getattr(import_module(module), name)
        assert row["plugin_name"] == plugin.NAME

    def test_has_the_extensions_of_the_importer(self) -> None:
        from datumaro_segmask.plugin.importer import SegmaskImporter

        assert sorted(PLUGINS[0]["metadata"]["file_extensions"]) == sorted(
            SegmaskImporter.get_file_extensions()
        )


class TestStartup:
    @pytest.fixture(autouse=True)
    def _own_meta_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        others = [finder for finder in sys.meta_path if finder is not _startup.SpecsFinder]
        monkeypatch.setattr(sys, "meta_path", others)
        monkeypatch.delenv(_startup.SWITCH, raising=False)

    def test_install_twice_is_once(self) -> None:
        _startup.install()
        _startup.install()
        assert sys.meta_path.count(_startup.SpecsFinder) == 1

    @pytest.mark.parametrize(("switch", "there"), [("0", False), ("1", True), ("", True)])
    def test_switch(self, monkeypatch: pytest.MonkeyPatch, switch: str, there: bool) -> None:
        monkeypatch.setenv(_startup.SWITCH, switch)
        _startup.install()
        assert (_startup.SpecsFinder in sys.meta_path) is there

    def test_finds_one_module_only(self) -> None:
        assert _startup.SpecsFinder.find_spec("datumaro.plugins") is None
        assert _startup.SpecsFinder.find_spec("json") is None

    def test_module_that_nobody_finds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "meta_path", [_startup.SpecsFinder])
        assert _startup.SpecsFinder.find_spec(_startup.SPECS) is None

    def test_module_without_a_loader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = ModuleSpec(_startup.SPECS, None)

        class Other:
            @staticmethod
            def find_spec(*_: object) -> ModuleSpec:
                return spec

        monkeypatch.setattr(sys, "meta_path", [_startup.SpecsFinder, Other])
        assert _startup.SpecsFinder.find_spec(_startup.SPECS) is spec
        assert spec.loader is None

    def test_imports_next_to_nothing(self, run: Run) -> None:
        code = "import os, sys; old = set(sys.modules); " + INSTALLED
        result = run("-S", "-c", code + "print(*set(sys.modules) - old)")
        assert set(result.stdout.split()) == {"datumaro_segmask", "datumaro_segmask._startup"}

    def test_serves_default_and_fresh_environments(self, run: Run) -> None:
        code = """
            from datumaro_segmask import _startup; _startup.install()
            from datumaro.components.environment import DEFAULT_ENVIRONMENT, Environment
            for env in DEFAULT_ENVIRONMENT, Environment():
                print("segmask" in env.importers, "segmask" in env.extractors,
                      "segmask" in env.exporters, "split_components" in env.transforms)
        """
        assert run("-c", dedent(code)).stdout.split() == ["True"] * 8

    def test_leaves_no_trace_on_the_module(self, run: Run) -> None:
        code = "from datumaro.plugins import specs; "
        result = run("-c", INSTALLED + code + "print(specs.__loader__, specs.__spec__.loader)")
        assert "datumaro_segmask" not in result.stdout

    def test_is_off_without_it(self, run: Run) -> None:
        code = INSTALLED + LISTED + "print('segmask' in env.importers, 'coco' in env.importers)"
        result = run("-c", code, DATUMARO_SEGMASK_AUTOLOAD="0")
        assert result.stdout.split() == ["False", "True"]

    def test_trouble_of_ours_is_a_warning(self, run: Run) -> None:
        code = "import sys; sys.modules['datumaro_segmask._bridge'] = None; " + INSTALLED + LISTED
        result = run("-c", code + "print('coco' in env.importers)")
        assert result.stdout.split() == ["True"]
        assert "Datumaro starts without the format segmask" in result.stderr

    def test_reaches_spawned_workers(self, run: Run, tmp_path: Path) -> None:
        # A sitecustomize runs whenever Python starts, as the start-up file does.
        (tmp_path / "sitecustomize.py").write_text(INSTALLED)
        (tmp_path / "worker.py").write_text(
            LISTED + "\ndef known(name):\n    return name in env.importers\n"
        )
        code = """
            import multiprocessing
            if __name__ == "__main__":
                from worker import known
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.apply(known, ["segmask"]))
        """
        (tmp_path / "main.py").write_text(dedent(code))
        assert run("main.py").stdout.split() == ["True"]


BROKEN = "import of datumaro_segmask.plugin.importer halted; None in sys.modules"


class TestBroken:
    def test_importer_that_cannot_be_imported_leaves_detection_alone(
        self, run: Run, archive: Path
    ) -> None:
        code = """
            import sys; sys.modules["datumaro_segmask.plugin.importer"] = None
            from datumaro_segmask import _startup; _startup.install()
            from datumaro.components.dataset import Dataset
            from datumaro.components.errors import DatumaroError
            try:
                print(Dataset.detect("archive"))
            except DatumaroError as error:
                print(type(error).__name__)
            try:
                Dataset.import_from("archive", "segmask")
            except ModuleNotFoundError as error:
                print(error)
        """
        result = run("-c", dedent(code))
        assert result.stdout.splitlines() == ["MultipleFormatsMatchError", BROKEN]
        assert result.stderr.count("leaves out a format; the format 'segmask'") == 1


class TestRegister:
    def test_without_start_up_file(self, run: Run) -> None:
        code = """
            import sys, datumaro_segmask
            assert not {"datumaro", "numpy"} & set(sys.modules)
            from datumaro.components.environment import DEFAULT_ENVIRONMENT, Environment
            early = Environment()
            print(*("segmask" in env.importers for env in (DEFAULT_ENVIRONMENT, early)))
            datumaro_segmask.register()
            datumaro_segmask.register(early)
            datumaro_segmask.register(early)
            for env in DEFAULT_ENVIRONMENT, early, Environment():
                print("segmask" in env.importers, "segmask" in env.exporters,
                      len(env.importers.extension_groups[".zip"]))
        """
        result = run("-c", dedent(code), DATUMARO_SEGMASK_AUTOLOAD="0")
        first, *others = result.stdout.splitlines()
        assert first == "False False"
        assert others == ["True True 2"] * 3  # with Datumaro's image_zip

    def test_after_start_up_file(self, run: Run) -> None:
        code = INSTALLED + "import datumaro_segmask; datumaro_segmask.register(); " + LISTED
        result = run("-c", code + IMPORTERS + "print(*importers('.zip'))")
        assert sorted(result.stdout.split()) == ["image_zip", "segmask"]

    def test_python_m_is_datum(self, run: Run, archive: Path) -> None:
        off = {_startup.SWITCH: "0"}
        assert "segmask" in run("-m", "datumaro_segmask", "format", **off).stdout.split()
        result = run("-m", "datumaro_segmask", "detect", "archive", **off)
        assert result.stdout.split() == ["Detected", "format:", "segmask"]


class TestFiles:
    """A zip is detected where it lies, and no other detector is asked about a file."""

    def test_datum_detect(self, run: Run, zipped: Path) -> None:
        result = run("-m", "datumaro_segmask", "detect", zipped.name)
        assert result.stdout.split() == ["Detected", "format:", "segmask"]

    def test_dataset(self, run: Run, zipped: Path) -> None:
        code = """
            from datumaro_segmask import _startup; _startup.install()
            from datumaro.components.dataset import Dataset
            print(Dataset.detect("archive.zip"), len(Dataset.import_from("archive.zip")))
        """
        assert run("-c", dedent(code)).stdout.split() == ["segmask", "1"]

    def test_other_zip_is_rejected_by_name(self, run: Run, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
            file.writestr("photo.jpg", b"")
        result = run("-m", "datumaro_segmask", "detect", "other.zip", "--show-rejections")
        assert "Unable to detect the format" in result.stdout

    @pytest.mark.parametrize("detects_files", [True, False])
    def test_detector_is_asked_if_it_wants_to_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detects_files: bool
    ) -> None:
        from datumaro.components import format_detection
        from datumaro.components.importer import Importer

        from datumaro_segmask._bridge import _let_detectors_see_files

        class AnyImporter(Importer):
            DETECTS_FILES = detects_files

            @classmethod
            def detect(cls, context: format_detection.FormatDetectionContext) -> None:
                assert context.root_path == str(path)

        path = tmp_path / "file"
        path.touch()
        original = format_detection.apply_format_detector
        monkeypatch.setattr(format_detection, "apply_format_detector", original)
        _let_detectors_see_files()
        rejections: dict[str, str] = {}
        matches = format_detection.detect_dataset_format(
            [("any", AnyImporter.detect)],
            str(path),
            rejection_callback=lambda name, _, message: rejections.update({name: message}),
        )
        assert [str(match) for match in matches] == ["any"] * detects_files
        assert ("must refer to a directory" in rejections.get("any", "")) is not detects_files


@pytest.mark.packaging
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="wheel"),
        pytest.param(["--editable"], id="editable"),
        pytest.param(
            ["--config-settings=editable_mode=strict", "--editable"], id="strict editable"
        ),
    ],
)
def test_install_list_uninstall(tmp_path: Path, options: list[str]) -> None:
    """In a venv that borrows the packages of this interpreter, so that nothing is downloaded."""
    # Not find_spec, in which setuptools warns where distutils has been imported before.
    if {"pip", "setuptools"} - packages_distributions().keys():
        pytest.skip("needs pip and setuptools in the environment of the tests")
    if int(version("setuptools").split(".")[0]) < 71:
        pytest.skip(f"setuptools {version('setuptools')} cannot build wheels by itself")
    source, home = tmp_path / "source", tmp_path / "venv"
    copy_source(source)
    venv.create(home)

    def run(*arguments: str) -> str:
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        return interpret(str(python), *arguments, cwd=tmp_path, PYTHONPATH="").stdout

    def formats() -> list[str]:
        return run("-m", "datumaro", "format", "--list-import").split()

    site = Path(run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    borrowed = [path for path in sys.path if path.endswith("-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    before = set(home.rglob("*"))

    # What is borrowed may hold this package already, hence the --ignore-installed.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed"]
    run("-m", "pip", "install", *offline, *options, str(source))
    assert "segmask" in formats()
    run("-m", "pip", "uninstall", "--yes", "datumaro-segmask")
    assert "segmask" not in formats()
    assert set(home.rglob("*")) == before


def copy_source(target: Path) -> None:
    """Copy what a build reads, so that it leaves its traces in the copy."""
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "datumaro_segmask", target / "datumaro_segmask", ignore=without)
    shutil.copytree(ROOT / "docs", target / "docs")
    shutil.copytree(ROOT / "examples", target / "examples")
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, target / name)
