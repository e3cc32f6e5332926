"""The pane below (or beside) the coverage list: every copy of a file, or what would make a directory safe."""

from __future__ import annotations

import time

from textual import getters
from textual.content import Content
from textual.widgets import Static

from medback_core.coverage import where_is as whereabouts
from medback_core.coverage.tree import DirectoryView, FileCoverage
from medback_core.model import Standing
from medback_core.presenting.next_drive import next_words
from medback_core.presenting.units import ago, counted, name, plural, size
from medback_core.session import Session
from medback_tui.reading.facts import Facts, Shares
from medback_tui.reading.listing import Listing, shares_of
from medback_tui.reading.state import SharedApp

from .coverage_list import Row

STANDINGS = {
    Standing.VERIFIED: "verified",
    Standing.WRITTEN: "written, not read back",
    Standing.CLAIMED: "listed in the record, not checked yet",
}


class CoverageDetail(Static):
    """Reads the copies of one file: a few rows by key."""

    app = getters.app(SharedApp)

    def show(
        self, row: Row | None, listing: Listing, facts: Facts, here: dict[int, bytes], reader: Session | None
    ) -> None:
        """Say all there is to say about the row under the cursor."""
        lines: list[Content] = []
        if isinstance(row, FileCoverage):
            lines = self._file(row, listing, here, reader)
        elif isinstance(row, DirectoryView):
            lines = self._directory(row)
        else:
            lines = [Content("nothing here" + (" that matches" if listing.of else ""))]
        new = f"back it up onto a new drive ({self.app.key_of('go.targets')}, then {self.app.key_of('targets.new')})"
        advice = next_words(listing.next.with_here(here), otherwise=new)
        if advice:
            lines.append(Content.styled(f"next: {advice}", "$accent"))
        self.update(Content("\n").join(lines))

    def show_shares(self, label: str, shares: Shares) -> None:
        """Say how safe several entries are that are seen as one."""
        lines = [Content.assemble((label, "bold"), f"   {counted(shares.total)}"), *self._shares(shares)]
        self.update(Content("\n").join([*lines, Content.styled("Enter shows them in the list", "$text-muted")]))

    def _directory(self, row: DirectoryView) -> list[Content]:
        shares = shares_of(row)
        lines = [Content.assemble((f"{name(row.name)}/", "bold"), f"   {counted(shares.total)}")]
        if row.damaged:
            words = "their content changed though size and time did not; p on screen 1 repairs them"
            lines.append(Content.assemble((f"✘ {row.damaged:,} damaged: ", "bold $text-error"), words))
        return [*lines, *self._shares(shares)]

    @staticmethod
    def _shares(shares: Shares) -> list[Content]:
        lines = []
        if shares.none.files:
            lines.append(Content.assemble(("○ ", "$text-error"), f"{counted(shares.none)} with no copy anywhere"))
        if shares.below.files:
            lines.append(
                Content.assemble(("◐ ", "$text-warning"), f"{counted(shares.below)} with fewer copies than wanted")
            )
        if shares.safe.files:
            lines.append(Content.assemble(("● ", "$text-success"), f"{counted(shares.safe)} safe"))
        return lines

    def _file(
        self, row: FileCoverage, listing: Listing, here: dict[int, bytes], reader: Session | None
    ) -> list[Content]:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.mtime_ns // 10**9))
        lines = [
            Content.styled(name(row.name), "bold"),
            Content.styled(f"{size(row.size)}   {changed}   md5 {row.content.md5.hex()}", "$text-muted"),
        ]
        if row.trouble:
            words = "✘ damaged: its content changed though its size and time did not" if row.trouble == 1 else (
                "✘ its content changed, but its time did not"
            )  # fmt: skip
            lines.append(Content.styled(f"{words}; p on screen 1 repairs it", "$text-error"))
        copies = whereabouts.detail(reader, row.key) if reader is not None else []
        if not copies:
            lines.append(Content.assemble(("○ ", "$text-error"), "no copy anywhere"))
        for copy in copies:
            lines += self._copy(copy, listing, here)
        if row.copies < row.wanted:
            lines.append(
                Content.styled(f"{plural(row.wanted - row.copies, 'copy', 'copies')} still wanted", "$text-warning")
            )
        return lines

    @staticmethod
    def _copy(copy: whereabouts.CopyView, listing: Listing, here: dict[int, bytes]) -> list[Content]:
        target = copy.target
        dead = target.key in listing.view.dead
        sign = ("● ", "$text-success") if copy.counts and not dead else ("○ ", "$text-muted")
        words = f"  {STANDINGS[copy.standing]}"
        if copy.verified_at:
            words += f" {ago(copy.verified_at)}"
        if dead:
            words += ", dead in this what-if"
        elif not target.known:
            words += ", an unknown drive"
        elif not target.counts:
            words += f", does not count: {target.state}"
        where = name(copy.path) if copy.path else "its place there is known when the drive is next plugged in"
        return [
            Content.assemble(sign, (name(target.name), "bold"), "  ▶ here" if target.key in here else "", words),
            Content.styled(f"    {where}", "$text-muted"),
        ]
