"""The report: what it says, that names are only text in it, and that it asks for nothing; in a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from medback_core.model import Answers, TargetState
from support.shell import Shell
from support.worlds import new_session, photos, run

from medback_core.errors import NeedsAnswer, Refused
from medback_core.names import display_name
from medback_core.report.write import MARK
from medback_core.report.write import write_report
from medback_core.session.sources import list_sources, save_source
from medback_core.session.copies import copies_on, withdraw_copies
from medback_core.session.targets import list_targets, save_target

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Read(HTMLParser):
    """The elements of a page, and its text as a person reads it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(where: Path) -> Read:
    with new_session(where) as session:
        run(write_report(session, os.fsencode(where / "report.html")))
    return Read((where / "report.html").read_text())


def test_it_says_what_is_safe_where_it_lies_and_how_all_of_it_comes_back(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": 100, "trip/b": 3000, "trip/c": 50}, drives=["blue", "red"]):
        pass
    text = report_of(tmp_path).text
    for words in (
        "● All is safe",
        "3 of 3 files (3.1 KiB) have all wanted copies",
        "photos/trip",
        "holds 3 files (3.1 KiB)",
        "This drive brings everything back",
        "How to get everything back",
        "python3 medback-restore.py",
        "medback restore DRIVE --to back",
    ):
        assert words in text, words
    with new_session(tmp_path) as session:
        (red,) = (target for target in list_targets(session) if target.name == "red")
        save_target(session, replace(red, health="failing", health_at=1_700_000_000, luks="0f6a"))
        save_source(session, replace(list_sources(session)[0], wanted=3))
    text = report_of(tmp_path).text
    assert "◐ 3.1 KiB not safe" in text
    assert "its disk reported that it is failing" in text


def test_the_sheet_counts_only_what_can_come_back(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": 100, "trip/b": 3000, "trip/c": 0}, drives=["blue", "red"]) as (session, _):
        blue, red = list_targets(session)
        save_target(session, replace(blue, state=TargetState.LOST))
        only_there = [copy.identity for identity, copy in copies_on(session, red.key) if identity.size != 100]
        withdraw_copies(session, red.key, only_there)
    text = report_of(tmp_path).text
    assert "hold copies of photos (1 file (100 B) of 3 files (3.0 KiB))" in text
    assert "2 files (2.9 KiB) can't be brought back : no drive that can be used has them" in text
    assert "Together they have everything" not in text
    with new_session(tmp_path) as session:
        save_target(session, replace(list_targets(session)[1], state=TargetState.LOST))
    text = report_of(tmp_path).text
    assert "No drive has copies of these files yet." in text and "drives below hold" not in text


def test_empty_files_that_are_not_safe_are_counted(tmp_path: Path) -> None:
    with photos(tmp_path, {"trip/a": 0, "b": 10}, drives=["red"]) as (session, _):
        save_source(session, replace(list_sources(session)[0], wanted=1))
        withdraw_copies(session, 1, [copy.identity for identity, copy in copies_on(session, 1) if not identity.size])
    text = report_of(tmp_path).text
    assert "○ 1 file not safe" in text and "none: 1 file" in text
    assert "photos/trip 1 file (0 B) 1 file (0 B)" in text


def test_a_report_of_nothing_is_a_page_too(tmp_path: Path) -> None:
    assert "Nothing is known yet" in report_of(tmp_path).text


HOSTILE = {
    b'<img src=x onerror="document.title=1">/<script>alert(1)</script>': 100,
    b"{{ 7 * 7 }}{% raw %}/&amp;<!--": 200,
    b"\xff\x1b[2J\xe2\x80\xae'\"><svg onload=alert(1)>/f": 300,
}


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    with photos(tmp_path, HOSTILE, drives=["red"]) as (session, _):
        (red,) = list_targets(session)
        label = "</title></style><script>alert(2)</script>{{ facts }}"
        save_target(session, replace(red, label=label, place="<b>attic</b>"))
        source = list_sources(session)[0]
        save_source(session, replace(source, alias="<u>photos</u>"))
    page = report_of(tmp_path)
    for said in [label, "<b>attic</b>", "<u>photos</u>", *(name.split(b"/")[0] for name in HOSTILE)]:
        assert display_name(said) in page.text, said
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "u", "iframe", "object", "embed", "link", "base", "form"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "\x1b" not in (tmp_path / "report.html").read_text()


def test_nothing_in_it_leads_outside(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": 100}, drives=["red"]):
        pass
    page = report_of(tmp_path)
    loading = ("src", "href", "xlink:href", "srcset", "data", "action", "background", "poster")
    found = [value for _, attributes in page.elements for name, value in attributes.items() if name in loading]
    assert found and all(value and value.startswith("#") for value in found)
    style = (tmp_path / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style
    policies = [attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_only_a_report_is_replaced_without_a_question(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": 100}, drives=["red"]) as (session, _):
        letter = tmp_path / "letter.html"
        letter.write_text("Dear Mia")
        with pytest.raises(NeedsAnswer):
            run(write_report(session, os.fsencode(letter)))
        assert letter.read_text() == "Dear Mia"
        with pytest.raises(Refused):
            run(write_report(session, os.fsencode(tmp_path)))
        with pytest.raises(Refused):
            run(write_report(session, os.fsencode(tmp_path / ".medback.xml")))
        run(write_report(session, os.fsencode(letter), Answers(replace=True)))
        assert MARK in letter.read_bytes()
        run(write_report(session, os.fsencode(letter)))  # a report now
    shell = Shell(tmp_path)
    letter.write_text("Dear Mia")
    assert shell("report", "letter.html").code == 4
    assert letter.read_text() == "Dear Mia"
    code, found = shell.json("report", "letter.html", "-y")
    assert (code, found["path"], found["bytes"]) == (0, str(letter), letter.stat().st_size)


# --- in a browser ----------------------------------------------------------------------------------------------------

Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Opens a page in a headless Chromium; what it writes to standard output."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")

    def browse(page: Path, *options: str, at: str = "") -> str:
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += ["--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}", *options]
        command.append(page.as_uri() + at)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return browse


@pytest.fixture
def outside() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine that keeps what it is asked for."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(1000))
                    connection.sendall(b"HTTP/1.0 404 no\r\n\r\n")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], asked
        server.shutdown(socket.SHUT_RDWR)


def test_a_browser_runs_nothing_and_asks_for_nothing(
    tmp_path: Path, browse: Browse, outside: tuple[int, list[bytes]]
) -> None:
    port, asked = outside
    lure = f"<img src=//127.0.0.1:{port}/a><script>fetch('http://127.0.0.1:{port}/b');document.title='run'</script>"
    with photos(tmp_path, {b"dir <b>x/f": 100}, drives=["red"]) as (session, _):
        (red,) = list_targets(session)
        save_target(session, replace(red, label=lure))
    report_of(tmp_path)
    page = Read(browse(tmp_path / "report.html", "--dump-dom"))
    assert lure in page.text and "dir <b>x" in page.text
    assert "script" not in {tag for tag, _ in page.elements}
    assert asked == []
    trap = tmp_path / "trap.html"
    trap.write_text(lure.replace("//127", "http://127", 1))
    browse(trap, "--dump-dom")
    assert asked, "the same words, not escaped, are seen to ask"


def test_the_sheet_for_the_drawer_is_one_page_however_large_the_shelf_is(tmp_path: Path, browse: Browse) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    names = [f"drive {number}" for number in range(16)]
    with photos(tmp_path, {f"{number}/f": 100 for number in range(16)}) as (session, _):
        from medback_core.backing_up.back_up import back_up

        save_source(session, replace(list_sources(session)[0], wanted=1))
        for name in names:
            (tmp_path / name).mkdir()
            run(back_up(session, os.fsencode(tmp_path / name), answers=Answers(yes=True), limit=100))
        for target in list_targets(session):
            save_target(
                session, replace(target, label=f"{target.label} {'W' * 300}", place="the attic " * 20, luks="0")
            )
    report_of(tmp_path)
    for at, most in (("#sheet", 1), ("", 99)):
        pdf = tmp_path / "page.pdf"
        browse(tmp_path / "report.html", "--no-pdf-header-footer", f"--print-to-pdf={pdf}", at=at)
        ran = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True)
        pages = ran.stdout.split("\f")[:-1]
        sheets = [page for page in pages if "How to get everything back" in page or "Who can help" in page]
        assert len(pages) <= most
        assert len(sheets) == 1
        assert "How to get everything back" in sheets[0] and "Who can help" in sheets[0]
        assert "drive 0 WWW" in sheets[0] and "6 more drives" in sheets[0]
