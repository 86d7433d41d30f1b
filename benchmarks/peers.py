"""Other ways to the same result, as people write them without Datumaro."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from .sources import Plane, decode, mask_files, to_indices, to_numbers
from .tasks import Options, Task
from .workloads import colormap


class DecodePngs(Task):
    """Decode both masks of every item, and nothing else."""

    def run(self, out: Path) -> None:
        for class_file, instance_file in mask_files(self.folder):
            decode(class_file)
            decode(instance_file)


class MaskLoop(Task):
    """Compare the whole frame with each instance's value, and encode that."""

    def run(self, out: Path) -> dict[str, float]:
        encode = self.encoder()
        annotations = []
        for class_file, instance_file in mask_files(self.folder):
            labels, numbers = to_numbers(decode(class_file)), to_numbers(decode(instance_file))
            for number in np.unique(numbers):
                if number:
                    mask = numbers == number
                    annotations.append((labels[mask][0], number, encode(mask)))
        return {"annotations": len(annotations)}

    def inspect(self, result: dict[str, float], out: Path) -> dict[str, float]:
        return result

    def encoder(self) -> Callable[[Plane], Any]:
        raise NotImplementedError


class PycocotoolsLoop(MaskLoop):
    def encoder(self) -> Callable[[Plane], Any]:
        return lambda mask: mask_utils.encode(np.asfortranarray(mask, np.uint8))


class SupervisionLoop(MaskLoop):
    imports = ("supervision",)

    def encoder(self) -> Callable[[Plane], Any]:
        import supervision  # type: ignore[import-not-found]

        return lambda mask: supervision.mask_to_rle(mask, compressed=True)


class EncodePngs(Task):
    """Encode finished masks, and nothing else: ``color``, ``palette`` or ``index``."""

    def __init__(self, folder: Path, options: Options) -> None:
        super().__init__(folder, options)
        files = [file for pair in mask_files(folder) for file in pair]
        self.images = [decode(file) for file in files]
        if options["mode"] != "color":
            self.images = [to_indices(image) for image in self.images]

    def run(self, out: Path) -> int:
        encode = _palette_png if self.options["mode"] == "palette" else _opencv_png
        return sum(len(encode(image)) for image in self.images)

    def inspect(self, result: int, out: Path) -> dict[str, float]:
        return {"bytes": result}


def _opencv_png(image: Plane) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _palette_png(plane: Plane) -> bytes:
    image = Image.fromarray(plane, "P")
    image.putpalette(colormap(256).tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


class Command(Task):
    """Run ``datum convert`` to COCO as a process: start of the interpreter and all."""

    def run(self, out: Path) -> None:
        command = [sys.executable, "-m", "datumaro_segmask", "convert", "--overwrite"]
        command += ["-i", str(self.folder), "-if", self.options["format"]]
        command += ["-f", "coco_instances", "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
