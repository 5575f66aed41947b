"""Downloads against a server on this machine: resumed, verified, renamed when whole, and every
failure one line.
"""

import datetime
import email.utils
import hashlib
import http.server
import re
import threading

import numpy as np
import pytest

from dlib_tf2.datasets import download, source_files
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.errors import DlibError, UserError

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT at any path; how it misbehaves is set per test."""

    def __init__(self):
        self.requests = []  # the Range header of each request
        self.cut_after = []  # of each request in turn: bytes after which the connection breaks
        self.status = None  # answered instead
        self.refusals = []  # statuses that are answered first, one a request
        self.headers = {}  # beside a status
        self.ranges = True
        self.length = True
        self.etag = '"one"'
        self.content_range = True
        # what a 206 answer wrongly begins at, and says of the whole file
        self.starts_at = self.total = None
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/data.bin"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def answer(self, handler):
        asked, edition = handler.headers.get("Range"), handler.headers.get("If-Range", self.etag)
        self.requests.append(asked)
        assert handler.headers["User-Agent"].startswith("dlib_tf2/")
        if status := self.refusals.pop(0) if self.refusals else self.status:
            handler.send_response(status)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        start = (
            int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if asked and self.ranges and edition == self.etag
            else 0
        )
        if start >= len(CONTENT):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            handler.end_headers()
            return
        start = self.starts_at if start and self.starts_at is not None else start
        handler.send_response(206 if asked and self.ranges and edition == self.etag else 200)
        if self.content_range:
            handler.send_header(
                "Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{self.total or len(CONTENT)}"
            )
        if self.length:
            handler.send_header("Content-Length", str(len(CONTENT) - start))
        handler.send_header("ETag", self.etag)
        handler.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(CONTENT)
        handler.wfile.write(CONTENT[start:end])

    def close(self):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PAUSE", 0.01)
    server = Server()
    yield server
    server.close()


def known(server, **changes):
    return RemoteFile(
        **{"name": "data.bin", "url": server.url, "size": len(CONTENT), "sha256": DIGEST, **changes}
    )


def test_a_whole_file_is_renamed_and_then_only_verified(server, tmp_path):
    path = download.fetch(known(server), tmp_path / "new")
    assert path == tmp_path / "new" / "data.bin"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["data.bin"]
    assert download.fetch(known(server), tmp_path / "new") == path
    assert server.requests == [None]


def test_a_broken_connection_is_resumed_where_it_broke(server, tmp_path):
    server.cut_after = [1_000_000, 500_000, 0]
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]


def test_what_an_earlier_process_left_is_resumed(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:2_999_999])
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=2999999-"]


def test_a_part_that_is_whole_already_needs_no_byte(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"x")
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [f"bytes={len(CONTENT) + 1}-", None]


def test_another_edition_is_not_appended_to(server, tmp_path):
    server.cut_after, server.etag = [1_000_000], '"old"'
    (tmp_path / "data.bin.part").write_bytes(b"y" * 1000)
    (tmp_path / "data.bin.part.etag").write_text('"older"')
    assert download.fetch(known(server, sha256=None, size=None), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_or_lengths(server, tmp_path):
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:10])
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    server.length = False
    assert (
        download.fetch(known(server, name="other.bin", size=None), tmp_path).read_bytes() == CONTENT
    )


def test_a_connection_that_breaks_for_good_keeps_what_came(server, tmp_path):
    server.cut_after = [1_000_000] + [0] * 10
    with pytest.raises(
        DlibError,
        match=r"; 1,000,000 bytes.* are kept\); run the same command again to resume",
    ):
        download.fetch(known(server), tmp_path)
    assert (tmp_path / "data.bin.part").stat().st_size == 1_000_000
    assert not (tmp_path / "data.bin").exists()
    server.cut_after = []
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "changes, text",
    [
        (
            {"sha256": "0" * 64},
            (
                f"has the SHA-256 {DIGEST}, expected {'0' * 64}; .* it was removed; run again, or"
                " get it by hand and use --man"
            ),
        ),
        (
            {"size": 7},
            r"has 3,000,000 bytes, expected 7; it is damaged or another edition; it was removed",
        ),
    ],
)
def test_wrong_content_is_removed(server, tmp_path, changes, text):
    with pytest.raises(DlibError, match=text):
        download.fetch(known(server, **changes), tmp_path)
    assert not list(tmp_path.glob("data.bin*"))


def test_a_file_that_is_there_but_wrong_is_left_to_the_person(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(
        DlibError,
        match=r"data.bin has the SHA-256 .*; remove .*data.bin and get it again from http://127",
    ):
        download.fetch(known(server), tmp_path)
    assert (tmp_path / "data.bin").exists()
    assert server.requests == []


@pytest.mark.parametrize(
    "status, tries",
    [(404, 1), (403, 1), (503, download._TRIES), (408, download._TRIES), (429, download._TRIES)],
)
def test_what_the_server_refuses(server, tmp_path, status, tries):
    server.status = status
    with pytest.raises(DlibError, match=f"data.bin.*{status}.*--manual_dir=FOLDER") as caught:
        download.fetch(known(server), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == tries


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_server_that_was_busy_is_asked_again(server, tmp_path, status):
    server.refusals = [status, status]
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, None, None]


def http_date(seconds):
    return email.utils.format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize(
    "asked, pauses",
    [
        ("7", [7.0]),
        (25, [pytest.approx(20, abs=5)]),
        (-100, [0.01]),
        ("soon", [0.01]),
        ("0", [0.01]),
    ],
)
def test_the_pause_that_a_busy_server_asks_for_is_made(
    server, tmp_path, monkeypatch, asked, pauses
):
    made = []
    monkeypatch.setattr(download.time, "sleep", made.append)
    server.refusals, server.headers = (
        [429],
        {"Retry-After": asked if isinstance(asked, str) else http_date(asked)},
    )
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT
    assert made == pauses


def test_a_server_that_asks_for_a_long_pause_is_left_alone(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("waits"))
    server.status, server.headers = 429, {"Retry-After": "3600"}
    text = (
        r"\(the server answered 429 Too Many Requests, and asks to wait 3,600 s\); run the same"
        r" command again to resume, or get"
    )
    with pytest.raises(DlibError, match=text):
        download.fetch(known(server), tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("headers", [{"Location": "/data.bin"}, {}])
def test_a_redirection_that_leads_nowhere_is_one_line(server, tmp_path, headers):
    server.status, server.headers = 302, headers
    text = (
        r"data.bin: the server redirects in a loop, or to no address \(302\); get data.bin by"
        r" hand, .*--manual_dir=FOLDER"
    )
    with pytest.raises(DlibError, match=text) as caught:
        download.fetch(known(server), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.requests) <= 11


def test_an_md5_that_others_do_not_report_is_a_warning(server, tmp_path, capsys):
    md5 = hashlib.md5(CONTENT).hexdigest()
    download.fetch(known(server, md5=md5, corrupted_md5="0" * 32), tmp_path / "right")
    assert "warning" not in capsys.readouterr().err
    path = download.fetch(known(server, md5="0" * 32), tmp_path / "other")
    assert (
        f"warning: {path} has the MD5 {md5}, others report {'0' * 32}: it may be damaged"
        in capsys.readouterr().err
    )
    download.find_all([known(server, corrupted_md5=md5)], path.parent)
    text = (
        f"warning: {path} has the MD5 {md5}, the one of a corrupted edition that its authors have"
        " replaced: get it again from"
    )
    assert text in capsys.readouterr().err


def test_nobody_answers(server, tmp_path):
    server.close()
    with pytest.raises(
        DlibError, match="cannot download http://127.*Connection refused.*--manual_dir=FOLDER"
    ):
        download.fetch(known(server), tmp_path)


def test_the_hash_of_an_unknown_file_binds_once_it_is_recorded(server, tmp_path):
    file, table = known(server, size=None, sha256=None), tmp_path / "table"
    path = download.fetch(source_files.bound(file, table), tmp_path)
    source_files.keep(table, [path])
    assert download.fetch(source_files.bound(file, table), tmp_path) == path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(
        DlibError, match=f"expected {DIGEST}; .* or remove {table}/sources.json if this is the"
    ):
        download.fetch(source_files.bound(file, table), tmp_path)
    source_files.forget(table)
    assert download.fetch(source_files.bound(file, table), tmp_path) == path


def test_a_published_hash_goes_before_a_recorded_one(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"another edition")
    source_files.keep(tmp_path, [tmp_path / "data.bin"])
    assert source_files.bound(known(server), tmp_path) == known(server)


def test_another_edition_than_the_recorded_one_is_kept_as_it_came(server, tmp_path):
    file = known(server, size=47, sha256="0" * 64, record=tmp_path / "sources.json")
    for _ in range(2):
        with pytest.raises(
            DlibError,
            match="data.bin.part has 3,000,000 bytes, expected 47; .* or remove .*sources.json",
        ):
            download.fetch(file, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={len(CONTENT)}-"]  # it is not downloaded again
    assert download.fetch(known(server), tmp_path).read_bytes() == CONTENT


def test_an_answer_that_begins_elsewhere_is_not_appended(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    server.starts_at = 0
    assert download.fetch(known(server, size=None, sha256=None), tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


def test_a_file_that_grew_on_a_server_without_marks_is_begun_anew(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"y" * 1000)
    (tmp_path / "data.bin.part.etag").write_text("\n2999999")
    assert download.fetch(known(server, size=None, sha256=None), tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


def test_what_is_still_to_come(server, tmp_path):
    assert download.to_come(known(server), tmp_path) == 3_000_000
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    assert download.to_come(known(server), tmp_path) == 2_999_000
    assert download.to_come(known(server, size=None, at_most=5000), tmp_path) == 4000
    assert download.to_come(known(server, size=None), tmp_path) is None
    (tmp_path / "data.bin").write_bytes(CONTENT)
    assert download.to_come(known(server), tmp_path) == 0


def test_a_full_disk_is_one_line(server, small_disk):
    with pytest.raises(
        DlibError,
        match=(
            r"cannot write .*data.bin.part: No space left on device; free space or choose another"
            r" data_dir"
        ),
    ):
        download.fetch(known(server), small_disk)


def test_many_missing_files_are_a_line_each_and_the_last_line_names_a_few(tmp_path, capsys):
    files = [
        RemoteFile(f"part{number}.npz", f"https://example.org/{number}") for number in range(50)
    ]
    with pytest.raises(
        UserError,
        match=(
            r"lacks 50 of 50 files; .*part0.npz .*part2.npz \(.*\) from https://example.org/2; and"
            r" 47 more$"
        ),
    ):
        download.check_all(files, tmp_path)
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        file.name for file in files
    ]


def test_files_of_a_person_are_listed_when_they_are_missing(server, tmp_path):
    files = [
        known(server),
        RemoteFile(
            "b.npz", "https://example.org/b.npz", at_most=5 * 10**9, other_names=("old_b.npz",)
        ),
    ]
    text = (
        r"lacks 2 of 2 files; .* data.bin \(3 MB\) from http://127.*; b.npz \(at most 5.0 GB\) from"
        r" https://example.org/b.npz"
    )
    with pytest.raises(UserError, match=text):
        download.find_all(files, tmp_path)
    (tmp_path / "data.bin").write_bytes(CONTENT)
    (tmp_path / "old_b.npz").write_bytes(b"any")
    download.find_all(files, tmp_path)
    (tmp_path / "data.bin").write_bytes(CONTENT[:5])
    with pytest.raises(DlibError, match="data.bin has 5 bytes, expected 3,000,000"):
        download.find_all(files, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data.bin",
        "old_b.npz",
    ], "nothing is written to a person's folder"
