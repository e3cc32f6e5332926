"""A million records written and read: time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench

RECORDS = 1_000_000
MEMORY_MB_MOST = 50
MEASURED = f"""
import sys, time
from medback_core.context import *
from medback_core.model import Standing

def many():
    for n in range({RECORDS}):
        copies = (("blue", Standing.VERIFIED),)
        yield FileEntry(b"d%d" % (n // 50), b"IMG_%07d.jpg" % n, n, 1732410000_120000000, 0o644, bytes(16), copies)

def write():
    with open(sys.argv[1], "wb") as file:
        for chunk in write_context([], [SourceSection(SourceStart("s", b"/s", "s"), many())]):
            file.write(chunk)

def read(items):
    with open(sys.argv[1], "rb") as file:
        return sum(1 for _ in items(file))

for name, work in (
    ("making the records alone", lambda: sum(1 for _ in many())),
    ("write", write),
    ("read", lambda: read(read_context)),
    ("find no foreign section", lambda: read(lambda file: foreign_sections(file, {{"s"}}))),
):
    begin = time.perf_counter()
    work()
    print(f"{{name}}: {{time.perf_counter() - begin:.1f}} s")
peak_kb = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak_kb // 1024, "MB")
"""


def test_a_million_records(tmp_path: Path) -> None:
    path = tmp_path / "context.xml"
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True)
    print(f"\n{RECORDS} records, {path.stat().st_size / 1e6:.0f} MB of XML\n{done.stdout}")
    assert int(done.stdout.split()[-2]) <= MEMORY_MB_MOST
