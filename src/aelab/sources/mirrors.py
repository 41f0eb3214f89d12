"""Files of published data sets: from the first mirror that has the right bytes.

They are verified by the SHA-256 of their DEcompressed bytes, so any re-compressed mirror works.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import socket
import sys
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from aelab.data.splits import Part

TIMEOUT = 30  # seconds without a byte before the next mirror is tried


def read_part(folder: str, files: tuple[tuple[str, str], ...], mirrors: tuple[str, ...]) -> Part:
    """Images and labels of one part of a data set, read by torchvision from verified files.

    folder: of the data set on a mirror. files: names and SHA-256 of images and labels. Raises ValueError with one line
    if no mirror has the right bytes.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    images, labels = files
    with TemporaryDirectory() as place:
        path = Path(place) / "idx"
        path.write_bytes(content_of(folder, *images, mirrors))
        x = read_image_file(str(path)).numpy()[:, None]
        path.write_bytes(content_of(folder, *labels, mirrors))
        return x, read_label_file(str(path)).numpy()


def content_of(folder: str, name: str, sha256: str, mirrors: tuple[str, ...]) -> bytes:
    """The decompressed bytes of one file, from the first mirror that has the right ones."""
    failures = []
    for place, read in places(folder, name, mirrors):
        try:
            content = read()
            content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        except (OSError, EOFError, ValueError, RuntimeError, HTTPException, zlib.error) as error:
            failures.append(
                f"{place}: {' '.join(str(getattr(error, 'reason', error)).split()) or type(error).__name__}"
            )
            continue
        result = hashlib.sha256(content).hexdigest()
        if result == sha256:
            return content
        failures.append(f"{place}: expected SHA-256 {sha256}, found {result}")
    tried = "; ".join(failures) or "no mirror is given"
    raise ValueError(
        f"{folder}/{name}: no place has it ({tried}); set AELAB_MIRROR to a folder that holds {folder}/{name}.gz"
    )


def places(folder: str, name: str, mirrors: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    local = os.environ.get("AELAB_MIRROR")
    if local:
        # a relative folder is relative to the project: experiments run in other folders
        place = Path(os.environ.get("DVC_ROOT", "."), local, folder)
        for path in (place / f"{name}.gz", place / name):
            if path.exists():
                yield str(path), path.read_bytes
                break
        else:
            yield str(place), lambda: missing(name)
    for mirror in mirrors:
        yield mirror, lambda mirror=mirror: download(f"{mirror.rstrip('/')}/{name}.gz")


def missing(name: str) -> bytes:
    raise ValueError(f"holds no {name}.gz")


def download(url: str) -> bytes:
    """The bytes at a URL, by torchvision. Raises OSError, RuntimeError, ValueError or HTTPException."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("no http:// or https:// address; AELAB_MIRROR names a folder")
    from torchvision.datasets.utils import download_url

    socket.setdefaulttimeout(TIMEOUT)
    bar = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    with TemporaryDirectory() as folder, bar:
        download_url(url, folder, "file")
        return (Path(folder) / "file").read_bytes()
