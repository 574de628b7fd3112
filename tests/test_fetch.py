"""Downloads against a server on loopback that cuts, stalls, lies and refuses. Nothing else is contacted."""

import contextlib
import hashlib
import http.server
import io
import os
import resource
import subprocess
import tarfile
import threading
import time
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from cnnviz_utils.base.networks import TORCHVISION
from cnnviz_utils.data.photos import fetch as fetching
from cnnviz_utils.data.photos.download import BLOCK, DownloadError, download
from cnnviz_utils.data.photos.fetch import SETS, Source, fetch, source
from cnnviz_utils.data.photos.unpack import unpack

CONTENT = np.random.default_rng(0).bytes(900_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FAST = {"wait": 0.0, "timeout": 0.3}


class Server(http.server.ThreadingHTTPServer):
    """Answers by `behaviour`; `asked` is the Range of each request, None without."""

    behaviour, content, daemon_threads = "whole", CONTENT, True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        how, content, asked = self.server.behaviour, self.server.content, self.headers.get("Range")
        self.server.asked.append(asked)
        first = len(self.server.asked) == 1
        start = int(asked.split("=")[1].rstrip("-")) if asked and how != "no ranges" else 0
        if how in ("404", "403") or (how.isdigit() and first):
            return self.send_error(int(how))
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if how not in ("endless", "no length, cut"):
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if how == "cut" or (how in ("no ranges", "no length, cut") and first):
            body = body[:9 * BLOCK]
        elif how == "nothing":
            body = b""
        elif how == "stalls" and first:
            self.wfile.write(body[:6 * BLOCK])
            self.wfile.flush()
            time.sleep(0.8)
            return None
        elif how == "endless":
            body *= 2
        with contextlib.suppress(OSError):  # the reader has gone
            self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("behaviour", "ranges"), [
    ("whole", [None]),
    ("cut", [None, "bytes=294912-", "bytes=589824-", "bytes=884736-"]),
    ("no ranges", [None, "bytes=294912-"]),
    ("no length, cut", [None, "bytes=294912-"]),
    ("stalls", [None, "bytes=196608-"]),
    ("503", [None, None]),
    ("429", [None, None]),
])
@pytest.mark.parametrize("checksum", [MD5, SHA, SHA[:15]])
def test_it_arrives(tmp_path, server, behaviour, ranges, checksum):
    server.behaviour = behaviour
    seen = []
    for _ in range(2):  # the second time nothing is asked
        download(server.url, tmp_path / "a" / "x.bin", checksum, len(CONTENT), lambda *now: seen.append(now), **FAST)
    assert (tmp_path / "a" / "x.bin").read_bytes() == CONTENT
    assert server.asked == ranges and seen[-1] == (len(CONTENT), len(CONTENT))
    assert not list((tmp_path / "a").glob("*.part"))


def test_resumed_by_a_later_call(tmp_path, server):
    (tmp_path / "x.bin.part").write_bytes(CONTENT[:123_456])
    download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert server.asked == ["bytes=123456-"] and (tmp_path / "x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"another file" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 9)])
def test_begun_on_another_file(tmp_path, server, part):
    (tmp_path / "x.bin.part").write_bytes(part)
    download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert (tmp_path / "x.bin").read_bytes() == CONTENT


def test_all_there_but_not_renamed(tmp_path, server):
    (tmp_path / "x.bin.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(("behaviour", "sentence"), [
    ("404", "the server says 404"), ("403", "the server says 403"), ("endless", "sends more than"), ("nothing", "are you offline"),
])
def test_it_does_not_arrive(tmp_path, server, behaviour, sentence):
    server.behaviour = behaviour
    with pytest.raises(DownloadError, match=sentence) as caught:
        download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert server.url in str(caught.value) and f"put it at {tmp_path / 'x.bin'}" in str(caught.value)
    assert not (tmp_path / "x.bin").exists() and "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.bin", "nowhere", "ftp://127.0.0.1/x", "http://"])
def test_offline_or_a_dead_address(tmp_path, url):
    with pytest.raises(DownloadError, match="cannot be fetched"):
        download(url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)


def test_wrong_bytes(tmp_path, server):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match=f"its sha256 is {hashlib.sha256(server.content).hexdigest()}"):
        download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_file_put_there_by_hand_is_checked(tmp_path, server):
    (tmp_path / "x.bin").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="move it away"):
        download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert (tmp_path / "x.bin").read_bytes() == b"mine" and not server.asked


def test_two_at_once_fetch_it_once(tmp_path, server):
    threads = [threading.Thread(target=download, args=(server.url, tmp_path / "x.bin", MD5, len(CONTENT)), kwargs=FAST) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None] and (tmp_path / "x.bin").read_bytes() == CONTENT


def test_full_disk(tmp_path, server):
    """A limit on the size of files stands for a full disk; what came is kept and used."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, old[1]))
        with pytest.raises(DownloadError, match="no room for 1 MB"):
            download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    had = (tmp_path / "x.bin.part").stat().st_size
    assert 0 < had <= 500_000
    download(server.url, tmp_path / "x.bin", MD5, len(CONTENT), **FAST)
    assert server.asked[1:] == [f"bytes={had}-"]


# ------------------------------------------------------------------------- archives


def tar(entries: dict[str, bytes | tuple], mode: str = "w") -> bytes:
    """Entries: bytes of a file, or (kind, where a link leads)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                file.addfile(info)
    return buffer.getvalue()


def packed(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


GOOD = {
    "a.zip": packed({"top/set/bee/1.jpg": b"bee", "__MACOSX/set/._1": b"junk"}),
    "a.tar": tar({"set/bee/1.jpg": b"bee"}),
    "a.tar.gz": tar({"set/bee/1.jpg": b"bee", "set/link.jpg": (tarfile.SYMTYPE, "bee/1.jpg")}, "w:gz"),
    "nested.zip": packed({"caltech/set.tar.gz": tar({"set/bee/1.jpg": b"bee"}, "w:gz"), "__MACOSX/caltech/._set.tar.gz": b"junk"}),
}


@pytest.mark.parametrize("name", GOOD)
def test_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    unpack(tmp_path / name, tmp_path / "to", ["set"])
    assert (tmp_path / "to" / "set" / "bee" / "1.jpg").read_bytes() == b"bee"
    assert os.listdir(tmp_path / "to") == ["set"]


HOSTILE = {
    "up.tar": (tar({"set/x": b"x", "../escaped": b"x"}), "outside"),
    "root.tar": (tar({"set/x": b"x", "/tmp/../tmp/escaped": (tarfile.LNKTYPE, "/etc/passwd")}), "cannot be unpacked"),
    "link.tar": (tar({"set/x": (tarfile.SYMTYPE, "../../escaped")}), "outside"),
    "through.tar": (tar({"set/l": (tarfile.SYMTYPE, "/tmp"), "set/l/escaped": b"x"}), "absolute path"),
    "pipe.tar": (tar({"set/x": (tarfile.FIFOTYPE, "")}), "special file"),
    "up.zip": (packed({"set/x": b"x", "../escaped": b"x"}), "outside"),
    "deep.zip": (packed({"set/../../escaped": b"x"}), "outside"),
    "root.zip": (packed({"/escaped": b"x"}), "outside"),
    "windows.zip": (packed({"..\\escaped": b"x"}), "outside"),
    "drive.zip": (packed({"C:/escaped": b"x"}), "outside"),
    "nested.zip": (packed({"set/x": b"x", "in.tar": tar({"../../escaped": b"x"})}), "outside"),
    "text.zip": (b"no archive", "cannot be unpacked"),
    "cut.zip": (GOOD["a.zip"][:90], "cannot be unpacked"),
    "cut.tar.gz": (GOOD["a.tar.gz"][:60], "cannot be unpacked"),
    "text.tar": (b"no archive", "cannot be unpacked"),
    "lacks.zip": (packed({"other/x": b"x"}), "has no folder set"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path, name):
    """Nothing appears outside the folder, and nothing half in it."""
    inside = tmp_path / "in" / "here"
    inside.mkdir(parents=True)
    content, sentence = HOSTILE[name]
    (inside / name).write_bytes(content)
    with pytest.raises(DownloadError, match=sentence):
        unpack(inside / name, inside / "to", ["set"])
    assert not list(tmp_path.rglob("escaped")) and not os.path.exists("/tmp/escaped") and not os.listdir(inside / "to")


def test_full_disk_while_unpacking(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar({"set/x": bytes(400_000)}))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(DownloadError, match="no room to unpack"):
            unpack(tmp_path / "a.tar", tmp_path / "to", ["set"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not os.listdir(tmp_path / "to")


# ---------------------------------------------------------------------- the command


@pytest.fixture
def toy(server, monkeypatch):
    """One data set, an archive on the server, and what `cnnviz get` does with it."""
    server.content = tar({"set/bee/1.jpg": b"bee"})
    one = Source("toy", "a toy", server.url.replace("file.bin", "toy.tar"), len(server.content),
                 f"md5:{hashlib.md5(server.content).hexdigest()}", "place", ("set",))
    monkeypatch.setattr(fetching, "SETS", (one,))
    return one


def run(*words, **more):
    from cnnviz_utils.cli import app
    return CliRunner().invoke(app, ["get", *map(str, words)], **more)


def test_get_asks_first_and_twice_costs_nothing(tmp_path, server, toy):
    refused = run("toy", "--root", tmp_path, input="n\n")
    assert refused.exit_code == 1 and toy.url in refused.output and str(tmp_path / "place") in refused.output
    assert not server.asked and not os.listdir(tmp_path)
    assert run("toy", "--root", tmp_path, input="y\n").exit_code == 0
    assert (tmp_path / "place" / "set" / "bee" / "1.jpg").read_bytes() == b"bee"
    again = run("toy", "--root", tmp_path)
    assert again.exit_code == 0 and "already here" in again.output and len(server.asked) == 1
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == ["place"]


def test_get_takes_a_file_put_there_by_hand(tmp_path, server, toy):
    toy.file(tmp_path).write_bytes(server.content)
    assert fetch(toy, tmp_path) and toy.present(tmp_path) and not server.asked


def test_get_says_what_went_wrong(tmp_path, server, toy):
    server.behaviour = "404"
    done = run("toy", "--yes", "--root", tmp_path)
    assert done.exit_code == 3 and "404" in done.output and str(tmp_path / "toy.tar") in done.output
    assert run("toi").exit_code == 2 and "did you mean 'toy'" in run("toi").output


def test_every_network_has_an_address_and_the_digits_of_its_file(tmp_path):
    for name in TORCHVISION:
        one = source(name)
        assert one.url.startswith("https://") and len(one.checksum) == len("sha256:") + 8
        int(one.checksum.removeprefix("sha256:"), 16)
        assert one.file(tmp_path).parent == tmp_path / "weights"


def test_caltechs_addresses_are_torchvisions():
    """torchvision keeps them inside its download functions: read from its source."""
    import inspect

    from torchvision.datasets import caltech
    text = inspect.getsource(caltech)
    for one in SETS[:2]:
        assert one.url in text and one.checksum.removeprefix("md5:") in text


def test_a_weights_file_is_checked_by_its_name(tmp_path):
    one = source("resnet18")
    one.file(tmp_path).parent.mkdir()
    one.file(tmp_path).write_bytes(b"not the weights")
    assert not one.present(tmp_path)
    with pytest.raises(DownloadError, match="move it away"):
        fetch(one, tmp_path)


def test_no_other_module_downloads():
    """Only download.py speaks HTTP."""
    found = subprocess.run(["grep", "-rlE", r"^\s*(import|from) (requests|urllib\.request|pooch|http)\b", "cnnviz_utils", "--include=*.py"],
                           capture_output=True, text=True, cwd=os.path.dirname(os.path.dirname(__file__)), check=True)
    assert found.stdout.split() == ["cnnviz_utils/data/photos/download.py"]
