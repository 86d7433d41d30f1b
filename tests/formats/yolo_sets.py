"""YOLO datasets as people have them: small texts, and pictures of 20 x 10 pixels."""

from __future__ import annotations

from collections.abc import Mapping

from ..archives import Files, jpeg

HEIGHT, WIDTH = 10, 20
RING = "0 0.1 0.1 0.5 0.1 0.5 0.6"
BOX = "1 0.5 0.5 0.2 0.4"
NAMES = "names: [car, road]\nnc: 2\n"


def pictures(*places: str) -> Files:
    return dict.fromkeys(places, jpeg(HEIGHT, WIDTH))


def texts(of: Mapping[str, str]) -> Files:
    return {place: text.encode() for place, text in of.items()}


def tree(data: str = "train: images/train\nval: images/val\n" + NAMES, line: str = RING) -> Files:
    """Two splits below ``images`` and ``labels``, as coco8-seg and our exports have them."""
    return pictures("images/train/a.jpg", "images/train/b.jpg", "images/val/c.jpg") | texts(
        {
            "data.yaml": data,
            "labels/train/a.txt": f"{line}\n",
            "labels/train/b.txt": "",
            "labels/val/c.txt": f"{line}\n",
        }
    )


def roboflow(data: str = "train: ../train/images\nval: ../valid/images\n" + NAMES) -> Files:
    """An export of Roboflow; its ``test`` is often not there."""
    return pictures("train/images/a.jpg", "valid/images/c.jpg") | texts(
        {
            "data.yaml": data,
            "README.roboflow.txt": "a text\n",
            "train/labels/a.txt": RING,
            "valid/labels/c.txt": RING,
        }
    )


def cvat() -> Files:
    """An export of CVAT, whose list has a folder that is not there."""
    return pictures("images/train/a.jpg") | texts(
        {
            "data.yaml": "names:\n  0: car\n  1: road\npath: .\ntrain: train.txt\n",
            "train.txt": "data/images/train/a.jpg\n",
            "labels/train/a.txt": RING,
        }
    )


def predictions(score: str = "0.87") -> Files:
    """What ``yolo segment predict save_txt save_conf`` leaves, and the originals."""
    lines = f"{RING} 0.25\n0 0.1 0.1 0.2 0.1 0.2 0.2 {score}\n"
    return pictures("photos/a.jpg", "photos/none.jpg") | texts(
        {"runs/segment/predict/labels/a.txt": lines}
    )
