"""The pane below (or beside) the coverage list: every copy of a file, or which drives hold a directory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from textual import getters
from textual.content import Content
from textual.widgets import Static

from medback_core.coverage import where_is as whereabouts
from medback_core.coverage.tree import DirectoryView, FileCoverage
from medback_core.model import Count, Standing, Target
from medback_core.presenting.next_drive import next_words
from medback_core.presenting.places import at, lacking_words
from medback_core.presenting.units import ago, counted, name, number, plural, short_path, size
from medback_core.session import Session
from medback_tui.reading.facts import Shares
from medback_tui.reading.listing import Listing, shares_of
from medback_tui.reading.state import SharedApp

from .columns import fit
from .coverage_bar import room_bar
from .coverage_list import Row

STANDINGS = {
    Standing.VERIFIED: "verified",
    Standing.WRITTEN: "written, not read back",
    Standing.CLAIMED: "listed in the record, not checked yet",
}
HOLDERS = 16  # drives named for a directory, those with the most first: what to do next stands below them
BAR_STYLES = {"bar": "$primary", "dim": "$dim"}


@dataclass(frozen=True, slots=True)
class Read:
    """What is not in the row itself: the drives that hold a directory and how much of it, or the copies of a file."""

    holders: list[tuple[Target, Count]] = field(default_factory=list)
    copies: list[whereabouts.CopyView] = field(default_factory=list)


class CoverageDetail(Static):
    """The copies of one file, or the totals of one directory. Where there is little room, each line says more."""

    app = getters.app(SharedApp)
    _about: Row | None = None  # what is to be shown

    @property
    def has_room(self) -> bool:
        """Whether it stands beside the list, or the terminal is high."""
        return self.screen.has_class("-wide") or self.screen.has_class("-high")

    def show(self, row: Row | None, listing: Listing, here: dict[str, bytes]) -> None:
        """Say all there is to say about the row under the cursor, as soon as it is read."""
        self._about = row
        with_holders = self.has_room
        if row is None or (isinstance(row, DirectoryView) and not with_holders):
            self._say(row, listing, here)
            return

        def read(session: Session) -> Read:
            if isinstance(row, FileCoverage):
                return Read(copies=whereabouts.copies_of_file(session, row.key))
            return Read(whereabouts.holders(session, row.source.key, row.path))

        def say(found: Read) -> None:
            if row is self._about:
                self._say(row, listing, here, found)

        self.app.aside(self, lambda: self.app.read_or_tell(read) or Read(), say)

    def _say(self, row: Row | None, listing: Listing, here: dict[str, bytes], found: Read | None = None) -> None:
        lines: list[Content] = []
        if isinstance(row, FileCoverage):
            lines = self._file(row, found.copies if found is not None else [], listing, here)
        elif isinstance(row, DirectoryView):
            lines = self._directory(row)
            if found is not None:
                lines += self._holders(row, found.holders, listing, here)
        else:
            lines = [Content("nothing here" + (" that matches" if listing.of else ""))]
        new = f"back it up onto a new drive ({self.app.key_of('go.targets')}, then {self.app.key_of('targets.new')})"
        advice = next_words(listing.next.with_here(here), otherwise=new)
        if advice:
            lines.append(Content.styled(f"next for {_place_words(listing)}: {advice}", "$accent"))
        self.update(Content("\n").join(lines))

    def show_shares(self, label: str, shares: Shares) -> None:
        """Say how safe several entries are that are seen as one."""
        self._about = None
        lines = [Content.assemble((label, "bold"), f"   {counted(shares.total)}"), *self._shares(shares)]
        words = f"{self.app.key_of('coverage.open')} shows them in the list"
        self.update(Content("\n").join([*lines, Content.styled(words, "$text-muted")]))

    def _directory(self, row: DirectoryView) -> list[Content]:
        shares = shares_of(row)
        lines = [Content.assemble((f"{name(row.name)}/", "bold"), f"   {counted(shares.total)}")]
        if row.damaged:
            words = f"their content changed though size and time did not; {self._repair} repairs them"
            lines.append(Content.assemble((f"✘ {row.damaged:,} damaged: ", "bold $text-error"), words))
        return [*lines, *self._shares(shares)]

    @property
    def _repair(self) -> str:
        return f"{self.app.key_of('go.sources')}, then {self.app.key_of('sources.repair')}"

    def _shares(self, shares: Shares) -> list[Content]:
        parts = [
            ("○ ", "bold $text-error", shares.none, "with no copy anywhere", "no copy"),
            ("◐ ", "$text-warning", shares.below - shares.apart, "with fewer copies than wanted", "too few"),
            ("◐ ", "$text-warning", shares.apart, "with fewer copies elsewhere than wanted", "too few elsewhere"),
            ("● ", "$text-success", shares.safe, "safe", "safe"),
        ]
        shown = [part for part in parts if part[2].files]
        if self.has_room:
            return [
                Content.assemble((sign, style), f"{counted(count)} {words}") for sign, style, count, words, _ in shown
            ]
        said = [
            Content.assemble((sign, style), f"{words} {number(count.files)} ({size(count.bytes)})")
            for sign, style, count, _, words in shown
        ]
        return [Content("   ").join(said)] if said else []

    def _holders(
        self, row: DirectoryView, found: list[tuple[Target, Count]], listing: Listing, here: dict[str, bytes]
    ) -> list[Content]:
        """Which drives hold how much of a directory, with bars."""
        lines = [Content("")]
        for target, count in found[:HOLDERS]:
            label = fit(name(target.name), 17)
            bar = [(text, BAR_STYLES[style]) for text, style in room_bar(count.bytes, row.count.bytes, 8)]
            plugged = ("▶ ", "$here") if target.id in here else ("  ", "")
            dead = "  dead" if target.id in listing.view.dead else ""
            lines.append(Content.assemble(plugged, label, " ", *bar, f" {size(count.bytes):>8}{dead}"))
        if len(found) > HOLDERS:
            lines.append(Content.styled(f"  {plural(len(found) - HOLDERS, 'more drive')}", "$dim"))
        return [*lines, Content("")] if found else lines

    def _file(
        self, row: FileCoverage, copies: list[whereabouts.CopyView], listing: Listing, here: dict[str, bytes]
    ) -> list[Content]:
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.mtime_ns // 10**9))
        md5 = row.content.md5.hex()
        if self.has_room:
            facts = f"{size(row.size)}   {changed}   md5 {md5}"
            lines = [Content.styled(name(row.name), "bold"), Content.styled(facts, "$text-muted")]
        else:
            facts = f"   {size(row.size)}   {changed}   md5 {md5[:8]}…"
            lines = [Content.assemble((fit(name(row.name), 36, middle=True).rstrip(), "bold"), (facts, "$text-muted"))]
        if row.trouble:
            words = "✘ damaged: its content changed though its size and time did not" if row.trouble == 1 else (
                "✘ its content changed, but its time did not"
            )  # fmt: skip
            lines.append(Content.styled(f"{words}; {self._repair} repairs it", "bold $text-error"))
        if not row.safe:
            lines.append(Content.styled(lacking_words(*row.lacks), "$text-warning"))
        if not copies:
            lines.append(Content.assemble(("○ ", "bold $text-error"), "no copy anywhere"))
        for copy in copies:
            lines += self._copy(copy, listing, here)
        return lines

    def _copy(self, copy: whereabouts.CopyView, listing: Listing, here: dict[str, bytes]) -> list[Content]:
        target = copy.target
        dead = target.id in listing.view.dead
        sign = ("● ", "$text-success") if copy.counts and not dead else ("○ ", "$text-muted")
        words = f"  {at(copy.place)}, " if copy.place else "  "
        words += STANDINGS[copy.standing]
        if copy.verified_at:
            words += f" {ago(copy.verified_at)}"
        if dead:
            words += ", dead in this what-if"
        elif not target.known:
            words += ", an unknown drive"
        elif not target.counts:
            words += f", does not count: {target.state}"
        plugged = ("  ▶ here", "$here") if target.id in here else ("", "")
        line = Content.assemble(sign, (name(target.name), "bold"), plugged, words)
        if self.has_room:
            where = name(copy.path) if copy.path else "its place there is known when the drive is next plugged in"
            return [line, Content.styled(f"    {where}", "$text-muted")]
        left = self.content_size.width - line.cell_length - 3
        where = f"   {short_path(copy.path, left)}" if copy.path and left >= 12 else ""
        return [Content.assemble(line, (where, "$text-muted"))]


def _place_words(listing: Listing) -> str:
    """Where one is, which is not what is under the cursor: `all sources`, `photos`, `2024/`."""
    if listing.source is None:
        return "all sources"
    if not listing.place.path:
        return name(listing.source.alias)
    return f"{fit(name(listing.place.path.rpartition(b'/')[2]), 24, middle=True).rstrip()}/"
