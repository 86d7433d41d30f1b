"""`preview`: what is drawn, and what the page does in a real browser, if there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datumaro_segmask.__main__ import main
from datumaro_segmask.archive.lists import open_archive
from datumaro_segmask.archive.meaning import ClassLookup
from datumaro_segmask.cli.preview.drawing import Drawing, draw, outline_of, path_of
from datumaro_segmask.png.container import MAX_PIXELS

from ..archives import LABELS, Files, archive, as_folder, gray, jpeg, png, rgb

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


def preview(files: Files, folder: Path, *options: str, out: str = "out.html") -> Path:
    path = as_folder(files, folder / "task")
    assert main(["preview", str(path), "-o", str(folder / out), *options]) == 0
    return folder / out


def drawn(files: Files, folder: Path, side: int = 100, item_id: str = "a") -> Drawing:
    opened = open_archive(str(as_folder(files, folder / "task")))
    lookup = ClassLookup(opened.label_map)
    return draw(opened.storage, lookup, item_id, "default", side, MAX_PIXELS)


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
    assert [(s.label, s.number, s.area) for s in found.shapes] == [(2, 0, 2), (1, 3, 4)]
    assert sorted(map(tuple, found.shapes[1].rings[0].tolist())) == [(0, 0), (0, 2), (2, 0), (2, 2)]
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
    assert [(s.number, s.area) for s in found.shapes] == [(1, 90_000), (2, 1)]
    assert all(found.plane[s.anchor[1], s.anchor[0]] for s in found.shapes)


def test_number_stands_in_the_instance_not_in_its_hole(tmp_path: Path) -> None:
    ring = np.ones((30, 30), np.uint8)
    ring[5:25, 5:25] = 0
    shape = drawn(archive({"a": png(ring)}, {"a": png(ring)}), tmp_path).shapes[0]
    assert ring[shape.anchor[1], shape.anchor[0]]
    # The seam to the hole is part of the area, and not of the outline.
    assert path_of(shape.rings).count("M") == 1
    outline = outline_of(shape.rings)
    corners = {tuple(map(int, xy.split())) for xy in re.findall(r"[\d]+ [\d]+", outline)}
    assert corners >= {(x, y) for r in ((0, 30), (5, 25)) for x in r for y in r}
    lines = [piece.split("L") for piece in outline.split("M")[1:]]
    points = [np.array([point.split() for point in line], int) for line in lines]
    length = sum(int(abs(np.diff(line, axis=0)).sum()) for line in points)
    assert length == 4 * 30 + 4 * 20


def test_outline_without_holes_is_the_path(tmp_path: Path) -> None:
    (shape,) = drawn(archive({"a": rgb("11 11")}), tmp_path).shapes
    assert outline_of(shape.rings) == ""


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
    assert "{{" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_folder_beside_the_page(tmp_path: Path) -> None:
    page = preview(MANY, tmp_path, "--inline", "41")
    folder = tmp_path / "out_files"
    assert sorted(path.name for path in folder.iterdir()) == ["000", "outlines-0.js"]
    assert len(list((folder / "000").iterdir())) == 2 * 21
    assert "data:image" not in page.read_text("utf-8")


def test_first_ten_faults_are_told(tmp_path: Path, capsys) -> None:
    files = archive({f"{i:02}": b"no PNG" for i in range(13)})
    path = as_folder(files, tmp_path / "task")
    assert main(["preview", str(path), "-o", str(tmp_path / "p.html")]) == 1
    text = capsys.readouterr().err
    assert text.count("the file is no PNG") == 10
    assert "... and 3 more; 'check' tells of all" in text


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
    # A folder that only has the name of ours is never removed.
    (tmp_path / "out_files").mkdir()
    (tmp_path / "out_files/mine.txt").write_text("mine", "utf-8")
    assert main([*args, "--overwrite"]) == 2
    assert (tmp_path / "out_files/mine.txt").exists()


def test_folder_in_place_of_the_page_stays(tmp_path: Path, capsys) -> None:
    (tmp_path / "p.html").mkdir()
    assert main(["preview", str(STREET), "-o", str(tmp_path / "p.html"), "--overwrite"]) == 2
    assert "it is there already" in capsys.readouterr().err
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


def test_png_of_hostile_names(tmp_path: Path) -> None:
    files = archive({"a\u200b猫" * 20: rgb("1")}, labels=LABELS + "\u202e" + "x" * 300 + ":9,9,9\n")
    assert preview(files, tmp_path, out="out.png").is_file()


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
          shapes: document.querySelectorAll('.card .classes path[data-k]').length,
          numbers: [...document.querySelectorAll('#item-1 text')].map((t) => t.textContent),
          legend: [...document.querySelectorAll('#labels .chip')].map((c) => c.innerText),
        };""",
    )
    assert found["title"] == "street.zip"
    assert found["count"] == "6 items"
    assert found["cards"] == 6
    assert found["pictures"] == 12
    assert found["shapes"] > 100
    assert {"1", "17", "19"} <= set(found["numbers"])
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
        await until(() => document.querySelector('#item-3 .dim'));
        steps.push(document.querySelectorAll('#item-3 .classes .dim').length);
        click('val'); await frame(); steps.push(shownIds(), byId('count').textContent);
        click('val'); click('car'); search('B'); await frame(); steps.push(shownIds());
        search('zzz'); await frame(); steps.push(shownIds(), byId('none').hidden);
        byId('reset').click(); await frame(); steps.push(shownIds(), byId('none').hidden);
        return steps;""",
    )
    assert found == ["abc", "ac", 1, "c", "1 of 3 items", "b", "", False, "abc", True]


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
        steps.push(byId('objects').children.length, byId('stage').firstChild.className);
        press('ArrowRight'); await frame(); steps.push(title(), byId('next').disabled);
        press('ArrowRight'); await frame(); steps.push(title());
        press('PageUp'); await frame(); steps.push(title(), byId('previous').disabled);
        press('2'); await frame(); steps.push(byId('stage').firstChild.className);
        byId('objects').querySelector('button')
          .dispatchEvent(new PointerEvent('pointerenter'));
        steps.push(document.querySelectorAll('#stage .lit').length);
        byId('large').close(); await frame();
        steps.push(byId('large').open, document.activeElement.getAttribute('aria-label'));
        return steps;""",
    )
    assert found == [
        "Open b",
        *(True, "b", "#item-2"),
        *(2, "tile instances"),
        *("c", True),
        "c",
        *("a", True),
        "tile classes",
        1,
        *(False, "Open a"),
    ]


def test_names_on_hover(browser: Browser, tmp_path: Path) -> None:
    files = archive({"a": rgb("0110 0220")}, {"a": rgb("0330 0000")})
    found = browser.run(
        preview(files, tmp_path),
        """
        const texts = [];
        await until(() => document.querySelectorAll('.card svg').length === 3);
        for (const view of VIEWS) {
          const box = document.querySelector(`.${view} svg`).getBoundingClientRect();
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
        const filled = () => document.querySelectorAll('.card svg').length / 3;
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


def test_numbers_of_tiny_images_are_readable(browser: Browser, tmp_path: Path) -> None:
    files = archive({"a": gray("0110 0220")}, {"a": gray("0110 0220")})
    heights = browser.run(
        preview(files, tmp_path),
        """
        await until(() => document.querySelectorAll('.card text').length === 2);
        return [...document.querySelectorAll('.card text')]
          .map((text) => text.getBoundingClientRect().height);""",
    )
    assert all(5 < height < 30 for height in heights)


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
