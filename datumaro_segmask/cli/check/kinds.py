"""What `check` can find, and how grave it is: to us, and to CVAT (docs/cli.md, "check").

To us, an *error* is what cannot be read as it stands, a *warning* what is read, but hardly meant,
and a *note* is good to know. To CVAT, an *error* makes it refuse the archive, and a *warning* is
what it silently leaves out or reads as something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...archive import Finding

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """``section`` is that of docs/format.md; a severity of None means that it is no finding."""

    title: str
    severity: str | None
    for_cvat: str | None
    section: int


KINDS = {
    "label-map": Kind("the label map breaks a rule", ERROR, ERROR, 2),
    "duplicate-color": Kind("two labels have one colour", WARNING, WARNING, 2),
    "cvat-label-line": Kind("CVAT reads a line of the label map otherwise", None, ERROR, 2),
    "many-labels": Kind("more than 256 labels, in colour", None, ERROR, 2),
    "label-name": Kind("names that look like lines of another tool", WARNING, WARNING, 2),
    "comment-line": Kind("lines of the label map that are comments", NOTE, NOTE, 2),
    "label-map-name": Kind("files that look like a label map", WARNING, WARNING, 2),
    "no-label-map": Kind("there is no label map", NOTE, NOTE, 2),
    "background": Kind("it is in doubt which label is the background", WARNING, None, 2),
    "black-label": Kind("a label is the background by its colour", NOTE, NOTE, 2),
    "no-background": Kind("no label is the background", NOTE, NOTE, 2),
    "subset-list": Kind("a subset list breaks a rule", ERROR, ERROR, 1),
    "list-line": Kind("lines of lists that are no ids", ERROR, ERROR, 1),
    "no-list": Kind("files among the lists that are none", WARNING, ERROR, 1),
    "subset-name": Kind("subsets that are skipped for their name", None, WARNING, 1),
    "subset-names": Kind("all subsets are skipped for their names", None, ERROR, 1),
    "cvat-list-line": Kind("CVAT finds no item for a line of a list", None, ERROR, 1),
    "list-backslash": Kind("lines with backslashes are items without masks", None, WARNING, 1),
    "hash-id": Kind("ids that are comments to CVAT", None, WARNING, 1),
    "same-id": Kind("items of several subsets", None, WARNING, 1),
    "numeric-ids": Kind("ids that may be taken for numbers of frames", None, NOTE, 1),
    "voc-boxes": Kind("boxes that CVAT imports, too", None, WARNING, 1),
    "main-lists": Kind("CVAT imports nothing", None, WARNING, 1),
    "dataset-meta": Kind("a file with labels that CVAT prefers", None, ERROR, 2),
    "no-lists": Kind("there are no subset lists", WARNING, ERROR, 1),
    "unlisted-masks": Kind("masks that no list names", WARNING, WARNING, 1),
    "mask-type": Kind("files among the masks that are no PNG", ERROR, WARNING, 1),
    "mask-folder": Kind("all masks lie in folders of other names", ERROR, WARNING, 1),
    "folder-name": Kind("folders whose names are nearly those of the masks", WARNING, WARNING, 1),
    "mask-name": Kind("masks whose names CVAT does not find", None, WARNING, 1),
    "inner-archive": Kind("folders that are archives themselves", WARNING, NOTE, 1),
    "zip-backslash": Kind("a zip with backslashes in its names", None, ERROR, 1),
    "two-masks": Kind("items with two masks of one kind", ERROR, WARNING, 1),
    "two-images": Kind("items with several images", ERROR, WARNING, 1),
    "no-masks": Kind("no listed item has a mask", WARNING, WARNING, 1),
    "images-elsewhere": Kind("pictures that no item has", NOTE, NOTE, 1),
    "listed-without-masks": Kind("listed items without masks", NOTE, NOTE, 1),
    "unsafe-path": Kind("names that lead out of the archive", ERROR, ERROR, 1),
    "unreadable-file": Kind("files that cannot be read", ERROR, ERROR, 1),
    "unreadable-mask": Kind("masks that are no sound PNG", ERROR, ERROR, 3),
    "unreadable-image": Kind("images whose size cannot be read", WARNING, NOTE, 4),
    "mask-size": Kind("class and instance masks of different sizes", ERROR, ERROR, 4),
    "image-size": Kind("images of another size than their masks", ERROR, WARNING, 4),
    "image-as-stored": Kind("images that lie as their masks only if not turned", NOTE, WARNING, 4),
    "undeclared-color": Kind("colours that the label map does not declare", ERROR, ERROR, 2),
    "undeclared-value": Kind("gray values that are no line of the label map", ERROR, ERROR, 2),
    "undeclared-nothing": Kind("black or void that the label map does not declare", None, ERROR, 2),
    "class-mask-kinds": Kind("class masks by colour and by index in one archive", WARNING, NOTE, 3),
    "transparent-color": Kind("colours under transparent pixels", NOTE, NOTE, 3),
    "palette-by-index": Kind("palettes whose colours are not those of the labels", None, ERROR, 3),
    "gray-as-no-label": Kind("gray values that are no line to CVAT", None, ERROR, 3),
    "gray-as-other-label": Kind("gray values that are another line to CVAT", None, WARNING, 3),
    "gray-alpha": Kind("gray masks with alpha", None, ERROR, 3),
    "sixteen-bits": Kind("16-bit masks that CVAT cuts to 8 bits", None, WARNING, 3),
    "instance-number": Kind("instances that only segmask can read", NOTE, ERROR, 3),
    "missing-class-mask": Kind("instance masks without a class mask", WARNING, ERROR, 4),
    "missing-instance-mask": Kind("class masks alone, with background", None, ERROR, 4),
    "no-instance-mask": Kind("class masks alone", None, NOTE, 4),
    "thin-objects": Kind("objects that vanish when polygons are made of them", None, WARNING, 4),
    "lost-instance": Kind("instances that lie on the background alone", WARNING, ERROR, 4),
    "instance-over-labels": Kind("instances that span several labels", NOTE, WARNING, 4),
    "class-without-instance": Kind("class pixels without an instance", NOTE, WARNING, 4),
    "instance-without-class": Kind("instance pixels without a label", NOTE, ERROR, 4),
}
"""All kinds of findings, in the order of a report. The names are stable."""


def severity_of(finding: Finding, for_cvat: bool) -> str | None:
    """Return how grave a finding is, None where it is nothing."""
    kind = KINDS[finding.kind]
    return kind.for_cvat if for_cvat else kind.severity
