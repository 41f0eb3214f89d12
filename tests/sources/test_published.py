"""Downloads against a real local server: right bytes are taken from anywhere, wrong ones from nowhere."""

import dataclasses
import gzip
import hashlib
import json
import socket
import struct
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from aelab.data import splits
from aelab.sources import mirrors, published

NAMES = [name for name, _ in published.SOURCES["mnist"].sha256]
SHAPES = ((6, 28, 28), (6,), (2, 28, 28), (2,))  # of the small files that stand for the true ones


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


class Mirror(ThreadingHTTPServer):
    """A web server on this machine. `pages`: path -> body, or a function of the request that answers by itself."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_port}/mnist/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if callable(page):
            page(self)
        elif page is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def mirror():
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def files(monkeypatch):
    """Four small files that stand for MNIST's, with their true checksums; their bytes by name."""
    for variable in ("AELAB_MIRROR", "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    contents = small_files(0)
    monkeypatch.setitem(
        published.SOURCES, "mnist", dataclasses.replace(published.SOURCES["mnist"], sha256=sums(contents))
    )
    return contents


def small_files(seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, high, shape, dtype=np.uint8) for high, shape in zip((256, 10) * 2, SHAPES, strict=True)]
    return {name: idx_bytes(array) for name, array in zip(NAMES, arrays, strict=True)}


def sums(contents: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())


def pages(files, compress=gzip.compress) -> dict[str, bytes]:
    return {f"/mnist/{name}.gz": compress(content) for name, content in files.items()}


def asked(mirror) -> list[str]:
    """The files that a mirror was asked for; torchvision asks twice, first where a file has moved to."""
    return list(dict.fromkeys(mirror.asked))


def check(parts, files) -> None:
    assert parts["train"][0].tobytes() == files[NAMES[0]][16:]
    assert parts["train"][1].tolist() == list(files[NAMES[1]][8:])
    assert parts["test"][0].shape == (2, 1, 28, 28)
    assert parts["test"][1].dtype == np.int64


@pytest.mark.parametrize(
    "compress",
    [
        lambda content: gzip.compress(content, 9, mtime=0),
        lambda content: gzip.compress(content, 1, mtime=12345),
        lambda content: gzip.compress(content[:100]) + gzip.compress(content[100:]),
        lambda content: content,
    ],
    ids=["best", "fast", "two members", "not compressed"],
)
def test_right_contents_are_accepted_however_they_are_packed(files, mirror, compress):
    mirror.pages = pages(files, compress)
    check(published.fetch("mnist", (mirror.url,)), files)


def raw(answer: bytes):
    def page(request) -> None:
        request.wfile.write(answer)

    return page


DAMAGE = {
    "altered": lambda good: gzip.compress(gzip.decompress(good)[:-1] + b"\0"),
    "cut within": lambda good: good[: len(good) // 2],
    "a login page": lambda good: b"<html>please log in</html>",
    "empty": lambda good: b"",
    "not found": lambda good: None,
    "an error": lambda good: lambda request: request.send_error(503),
    "fewer bytes than promised": lambda good: raw(b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n" + good[:99]),
    "moved in a circle": lambda good: raw(f"HTTP/1.0 302 Found\r\nLocation: /mnist/{NAMES[0]}.gz\r\n\r\n".encode()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_bad_mirror_is_passed_over_and_alone_is_one_line(files, mirror, damage):
    good = pages(files)
    mirror.pages = {f"/good{path.removeprefix('/mnist')}": body for path, body in good.items()}
    path = f"/mnist/{NAMES[0]}.gz"
    mirror.pages |= good | {path: damage(good[path])}
    with pytest.raises(ValueError, match=f"^mnist/{NAMES[0]}: no place has it ") as caught:
        published.fetch("mnist", (mirror.url,))
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert mirror.url in line
    assert f"set AELAB_MIRROR to a folder that holds mnist/{NAMES[0]}.gz" in line
    check(published.fetch("mnist", (mirror.url, mirror.url.replace("mnist", "good"))), files)


def test_a_download_leaves_no_file_behind(files, mirror, tmp_path, monkeypatch):
    import torchvision  # noqa: F401  (its first import makes a temporary folder for torch)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mirror.pages = pages(files)
    check(published.fetch("mnist", (mirror.url,)), files)
    mirror.pages = pages(files, lambda content: b"\x1f\x8b cut")
    with pytest.raises(ValueError, match="no place has it"):
        published.fetch("mnist", (mirror.url,))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_named_with_the_expected_and_the_found_checksum(files, mirror):
    wrong = idx_bytes(np.arange(6, dtype=np.uint8))
    mirror.pages = pages(files) | {f"/mnist/{NAMES[1]}.gz": gzip.compress(wrong)}
    expected, found = (hashlib.sha256(content).hexdigest() for content in (files[NAMES[1]], wrong))
    with pytest.raises(ValueError, match=f"^mnist/{NAMES[1]}: .*expected SHA-256 {expected}, found {found}"):
        published.fetch("mnist", (mirror.url,))


def test_a_mirror_that_falls_silent_is_passed_over(files, mirror, monkeypatch):
    monkeypatch.setattr(mirrors, "TIMEOUT", 1)
    mirror.pages = pages(files)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        places = (f"http://127.0.0.1:{silent.getsockname()[1]}/", mirror.url)
        check(published.fetch("mnist", places), files)
        with pytest.raises(ValueError, match="timed out"):
            published.fetch("mnist", places[:1])


def test_a_mirror_that_has_moved_is_followed(files, mirror):
    def moved(request) -> None:
        request.send_response(302)
        request.send_header("Location", request.path.replace("mnist", "elsewhere"))
        request.end_headers()

    good = pages(files)
    mirror.pages = dict.fromkeys(good, moved) | {
        path.replace("mnist", "elsewhere"): page for path, page in good.items()
    }
    check(published.fetch("mnist", (mirror.url,)), files)
    mirror.pages |= dict.fromkeys(good, raw(b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"))
    with pytest.raises(ValueError, match="no place has it"):
        published.fetch("mnist", (mirror.url,))


@pytest.mark.parametrize(
    "url", ["", "no address", "http://", "http://127.0.0.1:x/", "http://127.0.0.1/a b", "file:///nowhere"]
)
def test_an_address_that_is_none_is_one_line(files, url):
    with pytest.raises(ValueError, match=f"^mnist/{NAMES[0]}: no place has it ") as caught:
        published.fetch("mnist", (url,))
    assert len(str(caught.value).splitlines()) == 1


def test_the_local_folder_comes_first_and_counts_from_the_project(files, mirror, tmp_path, monkeypatch):
    mirror.pages = pages(files)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project/copies/mnist").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "project/copies/mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    for folder in ("copies", str(tmp_path / "project/copies")):
        monkeypatch.setenv("AELAB_MIRROR", folder)
        check(published.fetch("mnist", (mirror.url,)), files)
    assert mirror.asked == []


def test_a_damaged_or_empty_local_folder_gives_way_to_the_mirrors(files, mirror, tmp_path, monkeypatch):
    mirror.pages = pages(files)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AELAB_MIRROR", "copies")
    check(published.fetch("mnist", (mirror.url,)), files)
    (tmp_path / "copies/mnist").mkdir(parents=True)
    (tmp_path / "copies/mnist" / f"{NAMES[0]}.gz").write_bytes(b"\x1f\x8b no")
    (tmp_path / "copies/mnist" / NAMES[1]).write_bytes(files[NAMES[1]])  # the plain file serves too
    mirror.asked.clear()
    check(published.fetch("mnist", (mirror.url,)), files)
    assert asked(mirror) == [f"/mnist/{NAMES[i]}.gz" for i in (0, 2, 3)]
    with pytest.raises(ValueError, match=f"^mnist/{NAMES[0]}: .*copies/mnist/{NAMES[0]}.gz: .*; http.*Not Found"):
        published.fetch("mnist", (mirror.url + "nothing",))


def test_the_stage_takes_no_wrong_file_and_leaves_nothing(lab, mirror):
    """The true checksums, the real process: whatever this mirror holds is not MNIST."""
    lab.edit("name: mnist5k", "name: mnist")
    text = (lab.folder / "params.yaml").read_text()
    head, _, rest = text.partition("    mnist:\n")
    tail = rest[rest.index("    fashion_mnist:") :]
    (lab.folder / "params.yaml").write_text(f"{head}    mnist: ['{mirror.url}']\n{tail}")
    wrong = gzip.compress(idx_bytes(np.zeros((60000, 28, 28), np.uint8)))
    mirror.pages = {f"/mnist/{NAMES[0]}.gz": wrong}
    line = lab.fail("download")
    assert "expected SHA-256 ba89" in line
    assert NAMES[0] in line


def test_ood_are_the_test_images_of_another_set_and_no_more_is_fetched(files, mirror):
    mirror.pages = pages(files)
    parts = published.fetch_ood("fashion_mnist", {"mnist": (mirror.url,), "fashion_mnist": ("http://127.0.0.1:9/",)})
    assert parts.keys() == {"ood"}
    images, labels = parts["ood"]
    assert images.tobytes() == files[NAMES[2]][16:]
    assert (labels.dtype, labels.tolist()) == (np.int64, list(files[NAMES[3]][8:]))
    assert asked(mirror) == [f"/mnist/{NAMES[i]}.gz" for i in (2, 3)]
    with pytest.raises(ValueError, match=f"^mnist/{NAMES[2]}: no place has it \\(no mirror is given\\)"):
        published.fetch_ood("fashion_mnist", {"fashion_mnist": (mirror.url,)})
    assert published.fetch_ood("mnist5k", {}) == {}


SMALL = """
import dataclasses, json
import add_src_to_path
from aelab.runner import stage
from aelab.sources import published
from real import download
for name, sums in json.load(open("sums.json")).items():
    published.SOURCES[name] = dataclasses.replace(published.SOURCES[name], sha256=tuple(map(tuple, sums)))
stage.main(download)
"""


@pytest.fixture
def small(lab):
    """A lab with a folder of small files of both sets, and the stage that knows their checksums; their bytes by set."""
    contents = {"mnist": small_files(0), "fashion_mnist": small_files(1)}
    for name, files in contents.items():
        folder = lab.folder / "copies" / published.SOURCES[name].folder
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
    (lab.folder / "sums.json").write_text(json.dumps({name: sums(files) for name, files in contents.items()}))
    (lab.folder / "stages/download.py").rename(lab.folder / "stages/real.py")
    (lab.folder / "stages/download.py").write_text(SMALL)
    lab.change(lambda tree: tree["download"].update(mirrors={}))
    lab.env["AELAB_MIRROR"] = "copies"
    return lab, contents


def test_download_and_prepare_keep_what_is_ood_beside_the_test_split(small):
    lab, contents = small
    name, other = "mnist", "fashion_mnist"
    lab.change(lambda tree: tree["data"].update(name=name))
    lab.run("download")
    lab.run("prepare")
    ood = splits.load("ood", lab.folder / "data/prepare")
    assert (ood.x.shape, ood.x.dtype, ood.y.dtype) == ((2, 1, 28, 28), np.uint8, np.int64)
    assert ood.x.tobytes() == contents[other][NAMES[2]][16:]
    assert ood.y.tolist() == list(contents[other][NAMES[3]][8:])
    meta = json.loads((lab.folder / "data/prepare/learning/meta.json").read_text())
    assert meta["ood"] == published.SOURCES[name].ood.title
    before = lab.files()
    lab.run("download")
    lab.run("prepare")
    assert lab.files() == before
    (lab.folder / "data/download/ood/x.npy").unlink()
    assert lab.fail("prepare") == "prepare: data/download/ood/x.npy: not found; `dvc repro` makes it"


def test_without_the_other_set_s_files_download_ends_in_a_line_that_names_the_missing_one(small):
    lab, _ = small
    lab.change(lambda tree: tree["data"].update(name="mnist"))
    other = lab.folder / "copies/fashion-mnist"
    for name in NAMES[:2]:  # its training files are nobody's business
        (other / f"{name}.gz").unlink()
    lab.run("download")
    (other / f"{NAMES[3]}.gz").unlink()
    missing = f"fashion-mnist/{NAMES[3]}"
    assert lab.fail("download") == (
        f"download: {missing}: no place has it (copies/fashion-mnist: holds no {NAMES[3]}.gz); "
        f"set AELAB_MIRROR to a folder that holds {missing}.gz"
    )


def test_the_embedded_digits_are_five_thousand_in_ten_classes():
    images, labels = published.fetch("mnist5k", ())["train"]
    assert (images.shape, images.dtype, labels.dtype) == ((5000, 1, 28, 28), np.uint8, np.int64)
    assert np.bincount(labels).tolist() == [500] * 10
    assert (images.min(), images.max()) == (0, 255)
