"""`preview`: what is drawn, and what the page does in a real browser, if there is one."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datumaro_segmask.__main__ import main
from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.cli import parallel
from datumaro_segmask.cli.preview import sheet
from datumaro_segmask.cli.preview.drawing import Drawing, Settings, SheetArchive, draw, read
from datumaro_segmask.cli.preview.sheet import Pen, Text, draw_card

from ..archives import LABELS, Files, archive, as_folder, gray, jpeg, png, rgb
from ..processes import help_at_once

STREET = Path(__file__).parents[2] / "examples" / "street.zip"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which("chromedriver")

HOSTILE = "</script><img src=x onerror=document.title='hacked'>&amp;\"'"


class Browser:
    """Chromium without a window, by the WebDriver protocol, which is JSON over HTTP."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        options.append("--disable-background-networking")
        chrome = {"args": options, "binary": BROWSER}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": chrome}}}
        self._session = f"session/{self._send('session', wanted)['sessionId']}"

    def _send(self, path: str, body: Any = None, method: str = "POST") -> Any:
        data = None if method == "DELETE" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self._address}/{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error

    def run(self, page: Path, script: str, width: int = 1300, fragment: str = "") -> Any:
        """Open a page, run a script in it (the body of an async function), return its result."""
        self._send(f"{self._session}/window/rect", {"width": width, "height": 900})
        # From page to page, not from fragment to fragment of one.
        self._send(f"{self._session}/url", {"url": "about:blank"})
        self._send(f"{self._session}/url", {"url": page.as_uri() + fragment})
        whole = _PRELUDE + "(async () => {" + script + "})().then(done, (e) => done(String(e)));"
        return self._send(f"{self._session}/execute/async", {"script": whole, "args": []})

    def quit(self) -> None:
        self._send(self._session, method="DELETE")


_PRELUDE = """
const done = arguments[0];
const frame = () => new Promise((r) => setTimeout(() => requestAnimationFrame(r), 120));
const press = (key) => (document.activeElement || document.body).dispatchEvent(
  new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
// The colours of a canvas, row by row: rrggbbaa
const pixels = (canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return Array.from(data.reduce((all, byte, i) => {
    i % 4 ? all[all.length - 1] += byte.toString(16).padStart(2, '0')
      : all.push(byte.toString(16).padStart(2, '0'));
    return all; }, []));
};
const until = async (holds) => { for (let i = 0; i < 50 && !holds(); i++) await frame(); };
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if BROWSER is None or DRIVER is None:
        pytest.skip(f"no chromedriver, or no browser: none of {', '.join(BROWSERS)}")
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, encoding="utf-8")
    try:
        assert driver.stdout is not None
        ports = (re.search(r"successfully on port (\d+)", line) for line in driver.stdout)
        port = next(filter(None, ports))[1]
        started = Browser(f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("profile"))
        yield started
        started.quit()
    finally:
        driver.terminate()
        driver.communicate(timeout=20)


def raising(error: BaseException) -> Callable[..., Any]:
    def run(*args: object, **kwargs: object) -> Any:
        raise error

    return run


def preview(files: Files, folder: Path, *options: str, out: str = "out.html") -> Path:
    path = as_folder(files, folder / "task")
    assert main(["preview", str(path), "-o", str(folder / out), *options]) == 0
    return folder / out


def drawn(files: Files, folder: Path, side: int = 100, item_id: str = "a") -> Drawing:
    opened = open_archive(str(as_folder(files, folder / "task")))
    settings = Settings((SheetArchive(opened.reader()),), opened.label_map, side)
    return draw(settings, settings.sources[0], item_id, "default")


MANY = archive(
    {f"{i:02}": rgb("0110 0220") for i in range(60)},
    {f"{i:02}": rgb("0110 0220") for i in range(60)},
    images={f"{i:02}.jpg": jpeg(2, 4) for i in range(0, 60, 2)},
    lists={"train": "".join(f"{i:02}\n" for i in range(40)), "val": "40\n41\n"},
)


# Drawing


def test_drawing_of_a_small_item(tmp_path: Path) -> None:
    files = archive({"a": rgb("1102 1102")}, {"a": rgb("3300 3300")}, images={"a.jpg": jpeg(2, 4)})
    found = drawn(files, tmp_path)
    assert found.size == (2, 4)
    assert found.photo is not None
    assert found.photo.shape == (2, 4, 3)
    assert found.plane.tolist() == [[2, 2, 0, 1]] * 2
    assert [(s.label, s.number) for s in found.shapes] == [(2, 0), (1, 3)]
    assert found.instances == 1


def test_drawing_is_scaled_and_loses_no_instance(tmp_path: Path) -> None:
    plane = np.zeros((300, 600), np.uint8)
    plane[:, 300:] = 1
    numbers = plane.copy()
    plane[150, 101] = 2
    numbers[150, 101] = 2
    found = drawn(archive({"a": png(plane)}, {"a": png(numbers)}), tmp_path)
    assert found.size == (300, 600)
    assert found.photo is None
    assert found.plane.shape == (50, 100)
    assert [s.number for s in found.shapes] == [1, 2]
    assert all(found.plane[s.anchor[1], s.anchor[0]] for s in found.shapes)


def test_number_stands_in_the_instance_not_in_its_hole(tmp_path: Path) -> None:
    ring = np.ones((30, 30), np.uint8)
    ring[5:25, 5:25] = 0
    shape = drawn(archive({"a": png(ring)}, {"a": png(ring)}), tmp_path).shapes[0]
    assert ring[shape.anchor[1], shape.anchor[0]]


def test_items_that_cannot_be_read_are_told(tmp_path: Path, capsys) -> None:
    path = as_folder(archive({"a": rgb("1"), "b": rgb("9")}), tmp_path / "task")
    for out in ("out.html", "out.png"):
        assert main(["preview", str(path), "-o", str(tmp_path / out)]) == 1
        captured = capsys.readouterr()
        assert "2 items" in captured.out
        assert "SegmentationClass/b.png" in captured.err.replace("\\", "/")


@pytest.mark.parametrize("image", [b"", b"\xff\xd8\xff\xe0cut"], ids=["empty", "cut"])
def test_images_that_cannot_be_read_are_plain_ground(image: bytes, tmp_path: Path) -> None:
    found = drawn(archive({"a": rgb("1")}, images={"a.jpg": image}), tmp_path)
    assert found.photo is None
    assert not found.fault


# Files


def test_one_file(tmp_path: Path) -> None:
    page = preview(MANY, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.html"]
    text = page.read_text("utf-8")
    assert "$" + "data" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_folder_beside_the_page(tmp_path: Path) -> None:
    page = preview(MANY, tmp_path, "--inline", "41")
    folder = tmp_path / "out_files"
    names = ["000", "masks-0.js", "whole"]
    assert sorted(path.name for path in (folder / "page-1").iterdir()) == names
    assert len(list((folder / "page-1/000").iterdir())) == 21
    assert "data:image" not in page.read_text("utf-8")


def test_first_ten_faults_are_told(tmp_path: Path, capsys) -> None:
    files = archive({f"{i:02}": b"no PNG" for i in range(13)})
    path = as_folder(files, tmp_path / "task")
    assert main(["preview", str(path), "-o", str(tmp_path / "p.html")]) == 1
    text = capsys.readouterr().err
    assert text.count("the file is not a PNG") == 10
    assert "... and 3 more; 'check' lists all" in text


def test_page_that_is_there_stays(tmp_path: Path, capsys) -> None:
    page = tmp_path / "p.html"
    page.write_text("mine", "utf-8")
    assert main(["preview", str(STREET), "-o", str(page)]) == 2
    assert "p.html" in capsys.readouterr().err
    assert page.read_text("utf-8") == "mine"


def test_png_of_masks_without_labels(tmp_path: Path) -> None:
    """They have a line of their own in the legend."""
    heights: list[int] = []
    for files in (archive({"a": rgb("11")}), archive(None, {"a": rgb("11")})):
        path = as_folder(files, tmp_path / f"task{len(heights)}")
        out = tmp_path / f"{len(heights)}.png"
        assert main(["preview", str(path), "-o", str(out)]) == 0
        with Image.open(out) as sheet:
            heights.append(sheet.height)
    assert heights[0] == heights[1]


def test_max_items(tmp_path: Path, capsys) -> None:
    preview(MANY, tmp_path, "--max-items", "5")
    assert "5 items, 37 more are left out" in capsys.readouterr().out


def test_what_is_there_stays(tmp_path: Path, capsys) -> None:
    page = preview(MANY, tmp_path, "--inline", "1")
    args = ["preview", str(tmp_path / "task"), "-o", str(page)]
    assert main(args) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*args, "--overwrite"]) == 0
    assert not (tmp_path / "out_files").exists()
    # A folder that only has the name of ours is never removed, and nothing is put there.
    (tmp_path / "out_files").mkdir()
    (tmp_path / "out_files/mine.txt").write_text("mine", "utf-8")
    assert main([*args, "--overwrite", "--inline", "1"]) == 2
    assert "and is no sheet of masks" in capsys.readouterr().err
    assert main([*args, "--overwrite"]) == 0
    assert [path.name for path in (tmp_path / "out_files").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["page-1/scan.jpg", "page-2/000/mine.txt", "page-3/000/0/0.jpg"])
def test_folders_that_are_called_as_ours_stay(name: str, tmp_path: Path, capsys) -> None:
    mine = as_folder({name: b"mine"}, tmp_path / "out_files")
    as_folder(MANY, tmp_path / "task")
    args = ["preview", str(tmp_path / "task"), "-o", str(tmp_path / "out.html"), "--overwrite"]
    assert main([*args, "--inline", "1"]) == 2
    assert "and is no sheet of masks" in capsys.readouterr().err
    assert main(args) == 0  # which needs no folder
    assert contents(mine) == {name: b"mine"}


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_folder_that_is_a_link_is_not_followed(tmp_path: Path, capsys) -> None:
    page = preview(MANY, tmp_path, "--inline", "1")
    (tmp_path / "out_files").rename(tmp_path / "elsewhere")
    (tmp_path / "out_files").symlink_to("elsewhere")
    before = contents(tmp_path / "elsewhere")
    args = ["preview", str(tmp_path / "task"), "-o", str(page), "--overwrite"]
    assert main([*args, "--inline", "1"]) == 2
    assert "and is no sheet of masks" in capsys.readouterr().err
    assert main(args) == 0
    assert contents(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("name", ["out.html", "out.png"])
def test_only_earlier_sheets_are_replaced(name: str, tmp_path: Path, capsys) -> None:
    args = ["preview", str(STREET), "-o", str(tmp_path / name)]
    assert main(args) == 0
    sheet = (tmp_path / name).read_bytes()
    assert main([*args, "--overwrite"]) == 0
    assert (tmp_path / name).read_bytes() == sheet
    mine = b"<p>mine</p>" if name.endswith("html") else png(np.zeros((3, 3), np.uint8))
    (tmp_path / name).write_bytes(mine)
    assert main([*args, "--overwrite"]) == 2
    assert f"{name}: it already exists, and is no sheet of masks" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [mine]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("inline", ["200", "1"], ids=["one-file", "folder"])
def test_old_page_is_whole_until_the_new_one_is(
    inline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview(MANY, tmp_path, "--inline", "1")
    old = contents(tmp_path)
    args = ["preview", str(tmp_path / "task"), "-o", str(tmp_path / "out.html"), "--overwrite"]
    args += ["--side", "99", "--inline", inline]
    states: list[bool] = []
    move = os.replace

    def watched(*paths: Any) -> None:
        states.append(old.items() <= contents(tmp_path).items())
        move(*paths)

    with monkeypatch.context() as during:
        during.setattr("datumaro_segmask.cli.preview.page.read", raising(KeyboardInterrupt()))
        assert main(args) == 130
        assert old.items() <= contents(tmp_path).items()
        during.undo()
        during.setattr("datumaro_segmask.cli.os.replace", raising(OSError(errno.ENOSPC, "full")))
        assert main(args) == 2
        assert old.items() <= contents(tmp_path).items()
    monkeypatch.setattr("datumaro_segmask.cli.os.replace", watched)
    assert main(args) == 0
    assert states == [True] * (1 if inline == "200" else 2)  # the masks, and last the page
    parts = [path.name for path in tmp_path.glob("out_files/*")]
    assert parts == ([] if inline == "200" else ["page-2"])
    page = (tmp_path / "out.html").read_text("utf-8")
    assert ('"folder":"out_files/page-2"' in page) == (inline == "1")
    assert not list(tmp_path.rglob("*.part"))


def test_folder_in_place_of_the_page_stays(tmp_path: Path, capsys) -> None:
    (tmp_path / "p.html").mkdir()
    assert main(["preview", str(STREET), "-o", str(tmp_path / "p.html"), "--overwrite"]) == 2
    assert "it already exists" in capsys.readouterr().err
    assert (tmp_path / "p.html").is_dir()


def test_other_kinds_of_files(tmp_path: Path, capsys) -> None:
    assert main(["preview", str(STREET), "-o", str(tmp_path / "out.pdf")]) == 2
    assert ".html or .png" in capsys.readouterr().err


def test_png(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "out.png"
    assert main(["preview", str(STREET), "-o", str(path)]) == 0
    with Image.open(path) as sheet:
        colors = {color for _, color in sheet.convert("RGB").getcolors(1 << 24) or []}
    assert {(51, 221, 255), (36, 179, 83), (140, 120, 240)} <= colors  # car, tree, sky


@pytest.mark.parametrize("side", [8, 800], ids=["tiny", "large"])
def test_numbers_in_the_png_leave_the_masks_in_sight(side: int, tmp_path: Path) -> None:
    plane = np.ones((side // 2, side), np.uint8)
    plane[:, side // 2 :] = 2
    files = archive({"a": png(plane)}, {"a": png(plane)})
    card = draw_card(
        drawn(files, tmp_path), open_archive(str(tmp_path / "task")).label_map.labels, 0
    )
    tile = np.asarray(card.crop((card.width - 304, 0, card.width - 4, 150)))
    halves = tile[5:50, 5:140], tile[5:50, 200:290]
    for half in halves:
        assert (half == half[0, 0]).all()
    assert (halves[0][0, 0] != halves[1][0, 0]).any()
    white = (tile > 180).all(axis=2)
    assert 10 < white.sum() < 400
    assert 30 < white.nonzero()[1].min() < 110


def test_png_of_hostile_names(tmp_path: Path) -> None:
    files = archive({"a\u200b猫" * 20: rgb("1")}, labels=LABELS + "\u202e" + "x" * 300 + ":9,9,9\n")
    assert preview(files, tmp_path, out="out.png").is_file()


def test_names_with_the_marks_of_a_template(tmp_path: Path) -> None:
    """They are names, and nothing else; nor are they taken for a place to fill in."""
    labels = LABELS + "$images:9,9,9::\n{{images}}:8,8,8::\n${data}:7,7,7::\n"
    text = preview(archive({"$style": rgb("1")}, labels=labels), tmp_path).read_text("utf-8")
    for name in ("$images", "{{images}}", "${data}", "$style"):
        assert f'["{name}"' in text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=repr)
def test_interrupted_page_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_folder(archive({i: rgb("01") for i in "ab"}), tmp_path / "task")
    args = ["preview", str(path), "-o", str(tmp_path / "out.html"), "--inline", "1"]
    for place in ("cli.preview.page.read", "cli.preview.page.write_whole"):
        with monkeypatch.context() as during:
            during.setattr(f"datumaro_segmask.{place}", raising(error))
            assert main(args) in (2, 130)
        assert [path.name for path in tmp_path.iterdir()] == ["task"]
    assert main([*args, "--side", "99"]) == 0


@pytest.mark.parametrize("left", ["", "page-1", "page-1/000", "page-1/masks-0.js"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]], ids=["same", "overwrite"])
def test_killed_page_is_made_anew(left: str, options: list[str], tmp_path: Path) -> None:
    """Wherever in its folder the kill, or the full disk, came: from the first byte on."""
    path = as_folder(archive({i: rgb("01") for i in "ab"}), tmp_path / "task")
    place = tmp_path / "out_files" / left
    place.parent.mkdir(exist_ok=True, parents=True)
    place.write_bytes(b"") if left.endswith(".js") else place.mkdir(parents=True)
    args = ["preview", str(path), "-o", str(tmp_path / "out.html"), "--inline", "1"]
    assert main([*args, *options]) == 0
    (part,) = (tmp_path / "out_files").iterdir()
    assert f'"folder":"out_files/{part.name}"' in (tmp_path / "out.html").read_text("utf-8")
    assert (part / "masks-0.js").stat().st_size > 0


def test_two_previews_at_once_have_one_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    path = as_folder(archive({i: rgb("01") for i in "ab"}), tmp_path / "task")
    args = ["preview", str(path), "-o", str(tmp_path / "out.html"), "--inline", "1"]
    ends: list[int] = []

    def read_while_another_begins(source: SheetArchive, item_id: str):
        if not ends:
            ends.append(main(args))
        return read(source, item_id)

    monkeypatch.setattr("datumaro_segmask.cli.preview.page.read", read_while_another_begins)
    assert main(args) == 0
    assert ends == [2]
    assert "is writing there" in capsys.readouterr().err
    assert (tmp_path / "out_files/page-1/masks-0.js").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.html", "out_files", "task"]


def test_processes_make_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    start = parallel._start

    def noted(task: Any, workers: int) -> Any:
        starts.append(workers)
        return start(task, workers)

    help_at_once(monkeypatch)
    monkeypatch.setattr(parallel, "_start", noted)
    ids = [f"{i:03}" for i in range(160)]
    images = {f"{i}.jpg": jpeg(1, 2) for i in ids[::7]}
    path = as_folder(archive({i: rgb("01") for i in ids}, images=images), tmp_path / "task")
    for workers in "12":
        out = tmp_path / workers / "out.html"
        args = ["preview", str(path), "-o", str(out), "--inline", "1", "--workers", workers]
        assert main(args) == 0
    one, two = (
        {f.relative_to(tmp_path / n): f.read_bytes() for f in (tmp_path / n).rglob("*.*")}
        for n in "12"
    )
    assert one == two
    assert starts == [1]
    assert len(one) == 1 + 4 + len(images)  # the mark has no suffix


@pytest.mark.parametrize(
    ("options", "ids", "left_out"),
    [
        (["--subset", "val"], ["40", "41"], 0),
        (["--item", "07", "--item", "1?"], ["07", *map(str, range(10, 20))], 0),
        (["--label", "tree"], ["05", "41"], 0),
        (["--label", "tree", "--label", "car", "--max-items", "2"], ["00", "01"], 40),
        (["--max-items", "3", "--subset", "train"], ["00", "01", "02"], 37),
    ],
    ids=["subset", "items", "label", "labels", "max-items"],
)
def test_chosen_items(
    options: list[str], ids: list[str], left_out: int, tmp_path: Path, capsys
) -> None:
    masks = {i[-6:-4]: data for i, data in MANY.items() if i.startswith("SegmentationClass")}
    masks |= {i: rgb("3113 0000") for i in ("05", "41")}
    lists = {name: MANY[f"ImageSets/Segmentation/{name}.txt"] for name in ("train", "val")}
    files = archive(masks, labels=LABELS + "tree:128,128,0::\n", lists=lists)
    text = preview(files, tmp_path, *options).read_text("utf-8")
    said = capsys.readouterr().out
    assert f": {len(ids)} items" in said
    assert ("are left out" in said) == bool(left_out)
    assert f"{left_out} more" in said or not left_out
    assert re.findall(r'\["(\d\d)","(?:train|val)"', text) == ids


@pytest.mark.parametrize(
    ("option", "name", "near"),
    [
        ("subset", "vla", "'val'"),
        ("label", "raod", "'road'"),
        ("item", "0O", "'00'"),
        ("item", "9*", "'00'"),
    ],
)
def test_choice_of_what_is_not_there(
    option: str, name: str, near: str, tmp_path: Path, capsys
) -> None:
    path = as_folder(MANY, tmp_path / "task")
    out = tmp_path / "out.html"
    assert main(["preview", str(path), "-o", str(out), f"--{option}", name]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: the option --{option}: no {option} of the archive is called")
    assert near in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--item 00 --subset val",
            "the options --item and --subset: no item of 'val' is called '00'. Expected an item of "
            "these subsets; '00' is in 'train'. To fix it: type --subset train, or leave --subset "
            "out.",
        ),
        ("--item 40 --item 00 --subset val", "no item of 'val' is called '00'"),
        ("--item 40 --item zz", "no item of the archive is called 'zz'"),
        (
            "--item 00 --label background",
            "the option --label: no item chosen by --item has an object of 'background'. To fix "
            "it: choose another label, or leave out --item.",
        ),
        ("--label background", "no item has an object of 'background'. To fix it: choose another"),
    ],
)
def test_choice_of_nothing(options: str, said: str, tmp_path: Path, capsys) -> None:
    args = ["preview", str(as_folder(MANY, tmp_path / "task")), "-o", str(tmp_path / "out.html")]
    assert main([*args, *options.split()]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.html").exists()


# Several archives


def page_data(page: Path) -> dict[str, Any]:
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text())
    assert data
    found: dict[str, Any] = json.loads(data[1])
    return found


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    files = archive({"a": rgb("12")}, {"a": rgb("12")})
    as_folder(files, tmp_path / "tasks/one")
    labels = "background:0,0,0::\nbus:128,0,0::\ncar:0,128,0::\n"
    as_folder(archive({"a": rgb("12")}, {"a": rgb("12")}, labels=labels), tmp_path / "tasks/two")
    return tmp_path / "tasks"


@pytest.mark.parametrize("inline", ["200", "1"], ids=["one-file", "folder"])
def test_several_archives_on_one_page(inline: str, tasks: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.html"
    args = ["preview", str(tasks / "*"), "-o", str(out), "--inline", inline]
    assert main(args) == 0
    data = page_data(out)
    assert data["title"] == "2 archives"
    assert [item[:2] for item in data["items"]] == [["a", "one · default"], ["a", "two · default"]]
    names = [name for name, _ in data["labels"]]
    assert names == ["background", "car", "road", "bus"]
    assert len({color for _, color in data["labels"]}) == 4
    labels = [{names[int(key)] for key in item[5]} for item in data["items"]]
    assert labels == [{"car", "road"}, {"bus", "car"}]
    assert main([*args, "--overwrite", "--label", "bus"]) == 0
    assert [item[1] for item in page_data(out)["items"]] == ["two · default"]
    assert main([*args, "--overwrite", "--subset", "default", "--max-items", "1"]) == 0
    assert "1 item, 1 more are left out" in capsys.readouterr().out


def test_several_archives_as_a_picture(tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert main(["preview", str(tasks / "one"), str(tasks / "two"), "-o", str(out)]) == 0
    found = {color for _, color in Image.open(out).getcolors(1 << 24) or []}
    assert {(128, 0, 0), (0, 128, 0)} <= found


def test_archives_of_one_name_are_called_by_their_paths(
    tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tasks / "two").rename(tmp_path / "one")
    assert main(["preview", "tasks/one", "one", "-o", "out.html"]) == 0
    subsets = [item[1] for item in page_data(tmp_path / "out.html")["items"]]
    assert subsets == ["tasks/one · default", "one · default"]


@pytest.mark.parametrize("opens", [True, False])
def test_open(opens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    shown: list[str] = []

    def show(address: str) -> bool:
        shown.append(address)
        return opens

    monkeypatch.setattr("webbrowser.open", show)
    page = preview(archive({"a": rgb("1")}), tmp_path, "--open", out="a page.html")
    assert shown == [page.as_uri()]
    assert ("open the file yourself" in capsys.readouterr().err) != opens


def test_images_that_fit_stay_as_they_are(tmp_path: Path) -> None:
    small, large = jpeg(20, 40), jpeg(20, 400)
    exif = (
        b"Exif\0\0MM\0*"
        + b"\0\0\0\x08"
        + b"\0\x01"
        + b"\x01\x12\0\x03\0\0\0\x01\0\x03\0\0"
        + bytes(4)
    )
    turned = small[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif + small[2:]
    images = {"a.jpg": small, "b.jpg": large, "c.jpg": turned}
    masks = {"a": png(np.ones((20, 40), np.uint8)), "b": png(np.ones((20, 400), np.uint8))}
    preview(
        archive({**masks, "c": masks["a"]}, images=images), tmp_path, "--inline=1", "--side=100"
    )
    made = [(tmp_path / f"out_files/page-1/000/{i}.jpg").read_bytes() for i in range(3)]
    assert made[0] == small
    with Image.open(io.BytesIO(made[1])) as image:
        assert image.size == (100, 5)
    assert b"Exif" not in made[2]


# In the browser


@pytest.mark.parametrize("inline", ["200", "1"], ids=["one-file", "folder"])
def test_sheet(browser: Browser, inline: str, tmp_path: Path) -> None:
    page = tmp_path / "a #1%.html"  # a name that an address has to escape
    assert main(["preview", str(STREET), "-o", str(page), "--inline", inline]) == 0
    found = browser.run(
        page,
        """
        await until(() => document.querySelectorAll('.card img').length === 12);
        const images = [...document.querySelectorAll('.card img')];
        await Promise.all(images.map((image) => image.decode()));
        return {
          title: document.title, count: byId('count').textContent,
          cards: document.querySelectorAll('.card').length,
          pictures: images.filter((image) => image.naturalWidth).length,
          colors: new Set(pixels(document.querySelector('#item-1 .classes canvas')).values()).size,
          legend: [...document.querySelectorAll('#labels .chip')].map((c) => c.innerText),
        };""",
    )
    assert found["title"] == "street.zip"
    assert found["count"] == "6 items"
    assert found["cards"] == 6
    assert found["pictures"] == 12
    assert found["colors"] == 10  # those of the labels of the first item
    assert ["car", "15", "in", "5", "items"] in [text.split() for text in found["legend"]]


def test_filters(browser: Browser, tmp_path: Path) -> None:
    files = archive(
        {"a": rgb("11"), "b": rgb("22"), "c": rgb("12")},
        {"a": rgb("12")},
        lists={"train": "a\nb\n", "val": "c\n"},
    )
    found = browser.run(
        preview(files, tmp_path),
        """
        const shownIds = () => [...document.querySelectorAll('.card b')]
          .map((b) => b.textContent).join('');
        const click = (text) => [...document.querySelectorAll('header .chip')]
          .find((c) => c.innerText.startsWith(text)).click();
        const search = (text) => { byId('search').value = text;
          byId('search').dispatchEvent(new Event('input')); };
        const steps = [shownIds()];
        click('car'); await frame(); steps.push(shownIds());
        await until(() => document.querySelector('#item-3 canvas'));
        const now = pixels(document.querySelector('#item-3 .classes canvas'));
        steps.push(now[0].slice(6), now.at(-1).slice(6));  // of the other label little is seen
        click('val'); await frame(); steps.push(shownIds(), byId('count').textContent);
        click('val'); click('car'); search('B'); await frame(); steps.push(shownIds());
        search('zzz'); await frame(); steps.push(shownIds(), byId('none').hidden);
        byId('reset').click(); await frame(); steps.push(shownIds(), byId('none').hidden);
        return steps;""",
    )
    assert found == ["abc", "ac", "ff", "1f", "c", "1 of 3 items", "b", "", False, "abc", True]


def test_large_view_and_keyboard(browser: Browser, tmp_path: Path) -> None:
    files = archive({i: gray("0110 0220") for i in "abc"}, {i: gray("0110 0220") for i in "abc"})
    found = browser.run(
        preview(files, tmp_path),
        """
        const title = () => byId('large-title').firstChild.textContent;
        const steps = [];
        document.querySelector('.tiles').focus();
        press('ArrowRight'); steps.push(document.activeElement.getAttribute('aria-label'));
        document.activeElement.click(); await frame();
        steps.push(byId('large').open, title(), location.hash);
        steps.push(byId('objects').children.length, stage.className);
        press('ArrowRight'); await frame(); steps.push(title(), byId('next').disabled);
        press('ArrowRight'); await frame(); steps.push(title());
        press('PageUp'); await frame(); steps.push(title(), byId('previous').disabled);
        press('2'); await frame(); steps.push(stage.className);
        byId('objects').querySelector('button')
          .dispatchEvent(new PointerEvent('pointerenter'));
        await frame(); steps.push(lit);
        byId('large').close(); await frame();
        steps.push(byId('large').open, document.activeElement.getAttribute('aria-label'));
        return steps;""",
    )
    assert found == [
        "Open b",
        *(True, "b", "#item-2"),
        *(2, "instances"),
        *("c", True),
        "c",
        *("a", True),
        "classes",
        0,
        *(False, "Open a"),
    ]


def test_keys_are_on_the_page(tmp_path: Path) -> None:
    """Those of the sheet in its head, those of the large view at its foot."""
    text = preview(archive({"a": rgb("1")}), tmp_path).read_text("utf-8")
    sheet, large = re.findall(r'<p class="keys">(.*?)</p>', text, re.DOTALL)
    assert set(re.findall("<kbd>(.*?)</kbd>", sheet)) >= {"&#x2192;", "Enter", "/"}
    assert set(re.findall("<kbd>(.*?)</kbd>", large)) >= {"&#x2192;", "1", "+", "0", "Esc"}


def test_arrow_keys_work_at_once(browser: Browser, tmp_path: Path) -> None:
    found = browser.run(
        preview(archive({i: rgb("01") for i in "abcdef"}), tmp_path),
        """
        const focused = () => document.activeElement.closest('.card')?.item.id;
        const before = focused(); press('ArrowRight'); const first = focused();
        press('ArrowRight');
        return [before, first, focused()];""",
    )
    assert found == [None, "a", "b"]


def test_back_closes_the_large_view(browser: Browser, tmp_path: Path) -> None:
    """And so does Escape, after which Back does not open it again."""
    page = preview(archive({i: rgb("01") for i in "abcdef"}), tmp_path)
    found = browser.run(
        page,
        """
        const large = byId('large'), steps = history.length;
        document.querySelector('.tiles').click(); await until(() => current?.detail);
        step(1); await until(() => current?.detail);
        const opened = [large.open, location.hash, history.length - steps];
        history.back(); await until(() => !large.open); await frame();
        const left = [large.open, location.hash, document.activeElement.closest('.card').item.id];
        history.forward(); await until(() => current?.detail);
        const again = [large.open, location.hash];
        large.close(); await frame(); await frame();
        return [...opened, ...left, ...again, large.open, location.hash, history.state];""",
    )
    assert found == [True, "#item-2", 1, False, "", "b", True, "#item-2", False, "", None]
    found = browser.run(
        page,
        """
        await until(() => current?.detail); const opened = current.item.id;
        byId('large').close(); await frame();
        return [opened, byId('large').open, location.hash, history.state];""",
        fragment="#item-3",
    )
    assert found == ["c", False, "", None]


@pytest.mark.parametrize("width", [1280, 1000])
def test_head_stays_low(browser: Browser, width: int, tmp_path: Path) -> None:
    """With 80 labels, half of them without objects, and 120 subsets; all can be shown."""
    names = [f"label number {i}" for i in range(80)]
    colors = [f"{i},{i},200" for i in range(80)]
    labels = "".join(f"{name}:{color}::\n" for name, color in zip(names, colors, strict=True))
    plane = np.repeat([[(i, i, 200) for i in range(40)]], 2, axis=0).astype(np.uint8)
    mask = png(plane)
    ids = [f"{i:03}" for i in range(120)]
    files = archive(
        dict.fromkeys(ids, mask), labels="background:0,0,0::\n" + labels,
        lists={f"subset_{i}": f"{i}\n" for i in ids},
    )  # fmt: skip
    found = browser.run(
        preview(files, tmp_path),
        """
        const head = document.querySelector('header'), chips = byId('labels');
        const [subsets, more] = document.querySelectorAll('.more');
        const seen = () => [...chips.children].filter((c) => c.offsetHeight).length;
        await frame();
        const folded = [head.offsetHeight, seen(), subsets.textContent, more.textContent];
        more.click(); subsets.click(); await frame();
        const opened = [head.offsetHeight, seen(), more.textContent];
        more.click(); chips.children[39].click(); await frame();
        const top = chips.getBoundingClientRect().top;
        const [chosen] = [...chips.children].filter((c) => c.ariaPressed === 'true');
        return [folded, opened, chosen.getBoundingClientRect().top - top < 10];""",
        width=width,
    )
    (low, seen, *texts), (high, all_seen, fewer), is_first = found
    assert low < 230
    assert seen == 40
    assert texts == ["All 120 subsets", "All 81 labels"]
    assert high < 0.8 * 900
    assert (all_seen, fewer) == (81, "Fewer")
    assert is_first


def test_small_sheet_has_nothing_to_unfold(browser: Browser, tmp_path: Path) -> None:
    files = archive({"a": rgb("12")}, labels="car:128,0,0::\nroad:0,128,0::\n")
    script = "await frame(); return [...document.querySelectorAll('.more')].map((m) => m.hidden);"
    assert browser.run(preview(files, tmp_path), script) == [True, True]


def test_names_on_hover(browser: Browser, tmp_path: Path) -> None:
    files = archive({"a": rgb("0110 0220")}, {"a": rgb("0330 0000")})
    found = browser.run(
        preview(files, tmp_path),
        """
        const texts = [];
        await until(() => document.querySelectorAll('.card canvas').length === 2);
        for (const view of VIEWS) {
          const box = document.querySelector(`.card .${view}`).getBoundingClientRect();
          for (const y of [.25, .75]) {
            const [clientX, clientY] = [box.left + box.width / 2, box.top + box.height * y];
            document.elementFromPoint(clientX, clientY).dispatchEvent(
              new PointerEvent('pointermove', { clientX, clientY, bubbles: true }));
            texts.push(byId('tip').hidden ? null : byId('tip').textContent);
          }
        }
        return texts;""",
    )
    assert found == ["car · instance 3 · 2 pixels", "road · no instance · 2 pixels"] * 3


def test_only_what_is_near_is_loaded(browser: Browser, tmp_path: Path) -> None:
    ids = [f"{i:04}" for i in range(600)]
    masks = {i: rgb("01") for i in ids}
    page = preview(archive(masks), tmp_path)
    found = browser.run(
        page,
        """
        const filled = () => document.querySelectorAll('.card canvas').length / 2;
        await until(() => filled() > 0);
        const before = filled();
        const [first, last] = [1, 600].map((n) => () => document.getElementById(`item-${n}`));
        const wasThere = first().filled;
        sections.at(-1).scrollIntoView(false); await until(() => last()?.filled);
        await until(() => filled() && !first());
        return [items.length, before, filled(), wasThere, first() === null];""",
    )
    assert found[0] == 600
    assert 0 < found[1] < 100
    assert 0 < found[2] < 100
    assert found[3:] == [True, True]


def test_masks_of_tiny_images_grow_and_have_numbers(browser: Browser, tmp_path: Path) -> None:
    files = archive({"a": gray("0110 0220")}, {"a": gray("0110 0220")})
    width, height, classes, has_white = browser.run(
        preview(files, tmp_path),
        """
        await until(() => document.querySelectorAll('.card canvas').length === 2);
        const [classes, instances] = document.querySelectorAll('.card canvas');
        return [classes.width, classes.height, [...new Set(pixels(classes))].sort(),
          pixels(instances).includes('ffffffff')];""",
    )
    assert width >= 200
    assert height * 2 == width
    assert classes == ["000000ff", "008000ff", "800000ff"]
    assert has_white


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "|")
    files = archive({name: rgb("13")}, labels=LABELS + f"{HOSTILE}:128,128,0::\n")
    found = browser.run(
        preview(files, tmp_path),
        """
        document.querySelector('.tiles').click(); await frame();
        return [document.title, document.querySelector('.card b').textContent,
                byId('objects').innerText.includes('onerror'),
                document.querySelectorAll('img').length];""",
        fragment="#item-1",
    )
    assert found == ["task", name, True, 0]


@pytest.mark.parametrize("width", [500, 1300], ids=["narrow", "wide"])
def test_fits_the_window(browser: Browser, width: int, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert main(["preview", str(STREET), "-o", str(page)]) == 0
    script = "return [document.documentElement.scrollWidth, innerWidth];"
    scroll, inner = browser.run(page, script, width=width)
    assert scroll <= inner


def test_items_of_class_masks_alone_show_classes(browser: Browser, tmp_path: Path) -> None:
    files = archive(
        {"a": rgb("0110 0220"), "b": rgb("0110")},
        {"b": rgb("0110")},
        images={"c.jpg": jpeg(20, 40)},
        lists={"default": "a\nb\nc\nd\n"},
    )
    found = browser.run(
        preview(files, tmp_path),
        """
        await until(() => document.querySelectorAll('.card canvas').length === 4);
        const cards = [...document.querySelectorAll('.card')];
        const main = cards.map((card) => card.querySelector('.main').className);
        const first = cards[0].querySelector('.main').getBoundingClientRect();
        const views = [], said = cards.map((card) => [...card.querySelectorAll('i')]
          .map((i) => i.textContent));
        for (const item of items) {
          await open(item); await frame();
          views.push([stage.className, [...stage.querySelectorAll('i')].map((i) => i.textContent)]);
        }
        return [main, first.top < cards[0].querySelector('.image').getBoundingClientRect().top,
                said, views];""",
        width=500,
    )
    classes, instances = "tile classes main", "tile instances main"
    assert found == [
        [classes, instances, instances, instances],
        True,
        [
            ["no image", "no instances"],
            ["no image"],
            ["no masks", "no masks"],
            ["no image", "no masks", "no masks"],
        ],
        [
            ["classes", []],
            ["instances", []],
            ["instances", ["no masks"]],
            ["instances", ["no masks"]],
        ],
    ]


def test_zoom_and_pan(browser: Browser, tmp_path: Path) -> None:
    plane = np.zeros((40, 60), np.uint8)
    plane[10, 20] = 1
    found = browser.run(
        preview(archive({"a": png(plane)}, {"a": png(plane)}), tmp_path),
        """
        await open(items[0]); await frame();
        const least = at.scale, steps = [];
        const [x, y] = [at.x + 20.5 * at.scale, at.y + 10.5 * at.scale];
        const box = stage.getBoundingClientRect();
        const send = (type, i, j, pointerId, more) => {
          const kind = type === 'wheel' ? WheelEvent : PointerEvent;
          const [clientX, clientY] = [box.left + i, box.top + j];
          stage.dispatchEvent(new kind(type, { clientX, clientY, pointerId, ...more }));
        };
        for (let i = 0; i < 40; i++) send('wheel', x, y, 0, { deltaY: -100 });
        await frame();
        // The pixel under the pointer stayed there, and is a square of 64 pixels with sharp edges.
        const canvas = stage.querySelector('canvas'), ratio = canvas.width / stage.clientWidth;
        choose('classes'); await frame();
        const colors = pixels(canvas.isConnected ? canvas : stage.querySelector('canvas'));
        const red = colors.filter((color) => color === '800000ff').length / ratio ** 2;
        steps.push(at.scale, Math.abs(at.x + 20.5 * at.scale - x) < 1);
        steps.push(Math.round(red / 64 ** 2 * 10), new Set(colors).size);
        const before = at.x;
        send('pointerdown', 100, 100, 1); send('pointermove', 130, 100, 1);
        steps.push(at.x - before);
        send('pointerdown', 200, 100, 2);  // and now with two fingers, apart by half as much again
        const scale = at.scale / (press('-'), at.scale);
        const now = at.scale;
        send('pointermove', 235, 100, 2);
        steps.push(Math.round(scale * 10), Math.round(at.scale / now * 10));
        send('pointerup', 235, 100, 2); send('pointerup', 130, 100, 1);
        press('0'); await frame(); steps.push(at.scale === least);
        press('+'); steps.push(at.scale > least);
        byId('zoom').click(); steps.push(at.scale === least);
        return steps;""",
    )
    assert found == [64, True, 10, 2, 30, 15, 15, True, True, True]


def test_opacity(browser: Browser, tmp_path: Path) -> None:
    plane = np.ones((20, 40), np.uint8)
    plane[:, :20] = 0
    files = archive({"a": png(plane)}, {"a": png(plane)}, images={"a.jpg": jpeg(20, 40)})
    found = browser.run(
        preview(files, tmp_path),
        """
        await open(items[0]); choose('classes'); await frame();
        const state = () => [stage.querySelector('img').hidden, byId('opacity').value,
          [...new Set(pixels(stage.querySelector('canvas')))].sort()];
        const steps = [state()];
        byId('opacity').value = 60; byId('opacity').dispatchEvent(new Event('input'));
        await frame(); steps.push(state());
        choose('image'); await frame(); steps.push(byId('opacity').disabled);
        return steps;""",
    )
    assert found[0] == [True, "100", ["00000000", "000000ff", "800000ff"]]
    hidden, value, colors = found[1]
    assert (hidden, value) == (False, "60")
    # The image shows through the label, and nothing lies over the background.
    assert [color for color in colors if color != "00000000"] == ["80000099"]
    assert found[2] is True


# Letters in the picture


def spelled(text: str) -> tuple[str, set[str]]:
    pen = Pen()
    line, _ = pen._spelled(text)
    return line, pen.missing


def test_letters_of_many_scripts_need_no_font_of_the_system(monkeypatch) -> None:
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    sheet._fonts_for.cache_clear()
    text = "Straße, дорога, δρόμος, طريق, דרך"
    assert spelled(text) == (text, set())


def test_letters_without_a_font_are_told_and_written_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    sheet._fonts_for.cache_clear()
    assert spelled("a猫b") == ("a\\u732bb", {"猫"})
    files = archive({"猫": rgb("12")}, labels=LABELS.replace("car", "车").replace("road", "路"))
    assert preview(files, tmp_path, out="out.png").is_file()
    told = [record for record in caplog.records if "No font" in record.getMessage()]
    assert len(told) == 1
    assert "has 猫 路 车, so" in told[0].getMessage()
    sheet._fonts_for.cache_clear()


def test_letters_are_taken_from_the_fonts_of_the_system() -> None:
    from matplotlib.font_manager import findSystemFonts

    letters = (chr(code) for code in range(0x0900, 0x20000) if chr(code).isalpha())
    first = sheet._fonts_for("a")[0][1]
    there = set().union(*map(sheet._letters_of, findSystemFonts())) - sheet._letters_of(first)
    letter = next((letter for letter in letters if ord(letter) in there), None)
    if letter is None:
        pytest.skip("no font of this system has a letter that Matplotlib's own has not")
    assert spelled(letter) == (letter, set())
    assert len(sheet._fonts_for(letter)) == 2


def picture_of(text: str) -> list[tuple[int, ...]]:
    sheet = Pen().write(Image.new("RGB", (200, 30), "white"), [Text(5, 5, text, "black", 100)])
    dark = np.asarray(sheet.convert("L")) < 128
    return [(int(rows.min()), int(rows.max())) for rows in dark.nonzero()]


def test_text_stands_in_its_place(tmp_path: Path) -> None:
    (top, bottom), (left, right) = picture_of("Ay")
    assert 4 <= top <= 9
    assert 15 <= bottom <= 25
    assert 4 <= left <= 8
    assert right < 30
    assert picture_of("A" * 100)[1][1] < 106  # cut where its width ends
    assert picture_of("$x^2$")[1][1] > picture_of("xx2")[1][1]  # no formula
