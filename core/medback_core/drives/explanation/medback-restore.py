#!/usr/bin/env python3
# Written by medback; a newer medback may replace it. It needs no medback, and medback never runs it.
"""Get files back from drives that medback wrote, without medback. Needs Python 3.8 or later and nothing else.

    python3 medback-restore.py DRIVE... --list           what there is
    python3 medback-restore.py DRIVE... --to DIRECTORY   bring all of it back, as DIRECTORY/SOURCE/path

Give every drive that is plugged in. Each file is checked while it is copied: what comes back is what was backed up.
Nothing that is there already is overwritten, no link is followed, and nothing is written to the drives. Run it again
with other drives to bring back the rest. If it is stopped in the middle, run it again with the same directory: what is
back stays, and the unfinished files that it left (.medback-restore-tmp-...) are removed.

Exit codes: 0 all of it is back, 2 wrong options, 3 some files were in the way or could not be written, 4 refused,
5 some files were damaged on every drive that holds them, 6 some files lie on none of these drives.
"""

import argparse
import base64
import binascii
import calendar
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import time
import unicodedata
import xml.parsers.expat as expat
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CONTEXTS = (b".medback-context.xml", b".medback-context-1.xml", b".medback-context-2.xml")
SIDECAR = b".medback.xml"
IDENTITY = b".medback-target.xml"
OLD = b".medback-old"
DAMAGED = b".medback-damaged"
FAMILY = {b".medorg.xml", b".mdbackup.xml", b".mdjournal.xml", b".bkp_id"}
OURS = re.compile(
    rb"\.medback(\.xml|-(source|target)\.xml|-context[^/]*\.xml|-(old|damaged)$|-(tmp|restore-tmp|freeing)-)"
)
TEMPORARY = b".medback-restore-tmp-"
CONTEXT_MAX = 4 << 30
SIDECAR_MAX = 256 << 20
CHUNK = 1 << 20
# Files are made durable together, before they get their names: a file system does many fsyncs at once in the time of a
# few. They and their directories are open until then; some systems let a program open 256 files.
OPEN_TOGETHER = 200
BYTES_TOGETHER = 64 << 20
FSYNCS_AT_ONCE = 16
UNFINISHED = 0o1700  # the permissions of a directory until all is in it: no other one has these
LINE_MAX = 1 << 20  # bytes of one record; expat takes long over a longer one
HAS_DIR_FD = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")

# A file of a source: what it holds, its time (nanoseconds), its permission bits, the date it was deleted or "".
File = namedtuple("File", "size md5 mtime mode gone")
# Where a content may lie: the drive's number and the path on it.
Place = namedtuple("Place", "drive path")
# A file that is whole and right, and still has its temporary name.
Copied = namedtuple("Copied", "stream handle path temporary record")


class Bad(Exception):
    """Something that can't be used; its words are for people."""


class Section:
    """What one context says of one source: paths (bytes) to files, links and directories."""

    def __init__(self, source, alias):
        self.source, self.alias = source, alias
        self.number, self.stamp, self.line, self.date = 0, "", (), 0.0
        self.whole = False
        self.files, self.links, self.directories = {}, {}, {}
        self.others = []  # (path, File) of versions that two drives tell of beside what is the file now

    def above(self, gone=False):
        """The directories that something lies in: links and files that are there, or files that are gone."""
        paths = [path for path, record in self.files.items() if bool(record.gone) == gone]
        return {above for path in paths + ([] if gone else list(self.links)) for above in all_above(path)}

    def standing_directories(self):
        """The directories that are there. One that only tells of files that are gone, or whose name a file or a link
        has now, is not."""
        above, above_gone = self.above(), self.above(gone=True)
        taken = set(self.links).union(path for path, record in self.files.items() if not record.gone)
        return [
            path
            for path in sorted(self.directories)
            if is_path(path)
            and not taken.intersection([path] + all_above(path))
            and (path in above or path not in above_gone or self.directories[path][0] is not None)
        ]


# --- names ---------------------------------------------------------------------------------------------------------


def shown(name):
    """A name or path for a terminal: nothing in it can move the cursor or hide a letter."""
    text = os.fsdecode(name) if isinstance(name, bytes) else name
    out = []
    for letter in text:
        kind = unicodedata.category(letter)
        out.append("\\u%04x" % ord(letter) if kind[0] == "C" or kind in ("Zl", "Zp") else letter)
    return "".join(out)


def cells(text):
    """How many columns of a terminal a text takes (as `shown` gives it)."""
    return sum(0 if unicodedata.combining(x) else 2 if unicodedata.east_asian_width(x) in "WF" else 1 for x in text)


def fitting(text, room):
    """A text that takes so many columns at most: its end, behind three dots, where it is too long."""
    if cells(text) <= room:
        return text
    text = text[-room:]
    while text and cells(text) + 3 > room:
        text = text[1:]
    return "..." + text if room >= 3 else ""


def exact(attributes, key):
    """The bytes of a name in an element: `KEY64` where there is one, else `KEY`. None when it has neither."""
    coded = attributes.get(key + "64")
    if coded is not None:
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return None
    text = attributes.get(key)
    try:
        return None if text is None else text.encode("utf-8")
    except UnicodeEncodeError:
        return None


def is_component(name):
    """Whether a name can be one step of a path."""
    return (
        bool(name)
        and name not in (b".", b"..")
        and b"/" not in name
        and b"\0" not in name
        and (os.sep == "/" or os.fsencode(os.sep) not in name)
    )


def is_path(path):
    """Whether a path leads down from where it starts, and nowhere else."""
    return bool(path) and all(is_component(part) for part in path.split(b"/"))


def all_above(path):
    """The directories a path leads through."""
    parts = path.split(b"/")
    return [b"/".join(parts[:end]) for end in range(1, len(parts))]


def is_metadata(name):
    return OURS.match(name) is not None or name in FAMILY


def seconds(text):
    """Decimal seconds as nanoseconds, exactly. None for what is no time."""
    found = re.match(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?$", text or "")
    if not found:
        return None
    value = int(found.group(2)) * 10**9 + int((found.group(3) or "").ljust(9, "0"))
    return -value if found.group(1) else value


def date_of(text):
    """An ISO-8601 UTC date as seconds, 0 for what is none."""
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    except (ValueError, TypeError):
        return 0.0


def bits(text, default):
    try:
        return int(text, 8) & 0o777
    except (TypeError, ValueError):
        return default


def file_of(attributes):
    """The File an element speaks of, None when it is no usable record."""
    md5 = attributes.get("md5", "")
    size = attributes.get("size", "")
    if not re.match(r"[0-9a-f]{32}$", md5) or not re.match(r"[0-9]{1,19}$", size):
        return None
    mtime = seconds(attributes.get("mtime"))
    return File(int(size), bytes.fromhex(md5), mtime, bits(attributes.get("mode"), 0o644), attributes.get("gone", ""))


# --- reading the XML -----------------------------------------------------------------------------------------------


def parser(start, end):
    """A parser that takes no document type: nothing in a file can make it read another one or grow without end."""

    def refuse(*_):
        raise Bad("it has a document type definition")

    reader = expat.ParserCreate("utf-8")
    reader.StartDoctypeDeclHandler = refuse
    reader.EntityDeclHandler = refuse
    reader.StartElementHandler = start
    reader.EndElementHandler = end
    return reader


def read_context(stream, date):
    """The sections of a context. One that breaks off gives what stands before; its last section is not whole."""
    sections, above = [], []

    def start(tag, attributes):
        if len(above) > 300:
            raise Bad("it is nested too deeply")
        here = above[-1] if above else b""
        above.append(here)
        if tag == "rc":
            alias = attributes.get("alias") or os.path.basename(attributes.get("src_path", "")) or "source"
            alias = alias.encode("utf-8", "replace").decode("utf-8")
            section = Section(attributes.get("id") or "alias " + alias, alias)
            section.number = int(attributes["n"]) if re.match(r"[0-9]{1,18}$", attributes.get("n", "")) else 0
            section.stamp = attributes.get("stamp", "")
            section.line = tuple(attributes.get("line", "").split())
            section.date = date_of(attributes.get("at")) or date
            sections.append(section)
            above[-1] = b""
            return
        if not sections or sections[-1].whole:
            return
        section = sections[-1]
        if tag == "dr":
            flat, name = exact(attributes, "path"), exact(attributes, "name")
            path = flat if flat is not None else join(here, name) if name is not None and is_component(name) else None
            if path is None or not is_path(path):
                raise Bad("it names a directory that can't be one")
            above[-1] = path
            section.directories[path] = (bits(attributes.get("mode"), None), seconds(attributes.get("mtime")))
            return
        name = exact(attributes, "name")
        if tag not in ("file", "link") or name is None or not is_component(name) or is_metadata(name):
            return
        path = join(here, name)
        if tag == "link":
            goal = exact(attributes, "to")
            if goal and b"\0" not in goal:
                section.links[path] = goal
            return
        record = file_of(attributes)
        if record is not None and (not record.gone or path not in section.files):
            section.files[path] = record

    def end(tag):
        above.pop()
        if tag == "rc" and sections:
            sections[-1].whole = True

    reader = parser(start, end)
    problem = ""
    try:
        for line in iter(lambda: stream.readline(LINE_MAX + 1), b""):
            if len(line) > LINE_MAX:
                raise Bad("a line is too long")
            reader.Parse(line, False)
        reader.Parse(b"", True)
    except (expat.ExpatError, Bad, ValueError, LookupError) as error:
        problem = str(error)
    return sections, problem


def read_lines(data, tags):
    """The (tag, attributes, children) of the records in a sidecar or an identity, each line on its own, so that one
    that is damaged costs only itself."""
    for line in data.split(b"\n"):
        found = re.match(rb"<([a-z]+)[ />]", line)
        if not found or found.group(1).decode() not in tags or len(line) > LINE_MAX:
            continue
        record, children = [], []

        def start(tag, attributes, record=record, children=children):
            (children if record else record).append((tag, attributes))

        try:
            parser(start, None).Parse(line, True)
        except (expat.ExpatError, Bad, ValueError, LookupError):
            continue
        if record:
            yield record[0][0], record[0][1], children


def join(directory, name):
    return directory + b"/" + name if directory else name


# --- a drive -------------------------------------------------------------------------------------------------------


class Drive:
    """One directory that medback backed up onto. Read only; every path is walked down without following a link."""

    def __init__(self, number, path):
        self.number, self.path = number, os.path.abspath(os.fsencode(path))
        self.label, self.id, self.folders = shown(self.path), "", {}
        self.remembers = {}  # source id -> the date of what its context told of it
        self.newest = 0.0  # the time of its newest sidecar
        self.unread = False  # one of its directories could not be read
        self.contexts = []
        self._last = None  # (directory, descriptor) of the file that was opened last
        if not os.path.isdir(self.path):
            raise Bad("%s is not a directory" % shown(self.path))
        self._read_identity()
        self._read_contexts()

    def open(self, path):
        """A descriptor for reading a regular file. Raises OSError."""
        if not HAS_DIR_FD:
            return open_below(self.path, path, os.O_RDONLY)
        directory = os.path.dirname(path)
        if self._last is None or self._last[0] != directory:
            self.leave()
            self._last = directory, open_directory(self.path, directory)
        try:
            return open_regular(os.path.basename(path), os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._last[1])
        except OSError:
            self.leave()  # the drive may have been pulled out, and be back at the next file
            raise

    def leave(self):
        """Close the directory that was kept open."""
        if self._last is not None:
            os.close(self._last[1])
            self._last = None

    def _whole(self, path, most):
        with os.fdopen(self.open(path), "rb") as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise OSError(errno.EFBIG, "it is too large")
        return data

    def _read_identity(self):
        try:
            data = self._whole(IDENTITY, 1 << 20)
        except OSError:
            return
        for tag, attributes, _ in read_lines(data, ("identity", "target", "folder", "remembers")):
            if tag == "identity":
                self.id = attributes.get("id", "")
            elif tag == "remembers":
                self.remembers[attributes.get("source", "")] = date_of(attributes.get("at"))
            elif tag == "target":
                self.label = shown(attributes.get("label") or self.label)
            elif exact(attributes, "name"):
                self.folders[exact(attributes, "name")] = attributes.get("source", "")

    def _read_contexts(self):
        """Its contexts, the newest first."""
        for name in CONTEXTS:
            try:
                with os.fdopen(self.open(name), "rb") as stream:
                    status = os.fstat(stream.fileno())
                    if status.st_size > CONTEXT_MAX:
                        raise OSError(errno.EFBIG, "it is too large")
                    sections, problem = read_context(stream, status.st_mtime)
            except FileNotFoundError:
                continue
            except OSError as error:
                cannot_read("%s of %s" % (shown(name), self.label), error)
                continue
            if problem:
                warn("%s of %s is damaged (%s): what stands before that is used" % (shown(name), self.label, problem))
            self.contexts.append(sections)

    def walk(self):
        """(directory, {name: status}) of everything on it, directory by directory."""
        waiting = [b""]
        device = os.stat(self.path).st_dev
        while waiting:
            directory = waiting.pop()
            entries = {}
            try:
                with os.scandir(os.path.join(self.path, directory)) as found:
                    for entry in found:
                        try:
                            entries[entry.name] = entry.stat(follow_symlinks=False)
                        except OSError:
                            continue
            except OSError as error:
                cannot_read(shown(os.path.join(self.path, directory)), error)
                self.unread = True
                continue
            for name, status in entries.items():
                if stat.S_ISDIR(status.st_mode) and (status.st_dev == device or not device):
                    waiting.append(join(directory, name))
            yield directory, entries

    def sidecar(self, directory):
        try:
            return self._whole(join(directory, SIDECAR), SIDECAR_MAX)
        except OSError as error:
            cannot_read(shown(os.path.join(self.path, directory, SIDECAR)), error)
            return b""


def open_below(root, path, flags):
    """Open a regular file below a directory, one step at a time, following no link. Raises OSError."""
    if not HAS_DIR_FD:
        refuse_links(root, path)
        return open_regular(os.path.join(root, path), flags)
    handle = open_directory(root, os.path.dirname(path))
    try:
        return open_regular(os.path.basename(path), flags | os.O_NOFOLLOW, dir_fd=handle)
    finally:
        os.close(handle)


def open_regular(name, flags, **how):
    """Open what must be a regular file, and wait for nothing. Raises OSError."""
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    fd = os.open(name, flags, **how)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not an ordinary file")
    return fd


def open_directory(root, path, make=None):
    """A descriptor of a directory below `root`. With a set `make`, what is not there on the way is made, and its path
    added to the set. Raises OSError."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    way = b""
    for part in path.split(b"/") if path else ():
        way = join(way, part)
        try:
            if make is not None:
                try:
                    os.mkdir(part, UNFINISHED, dir_fd=handle)
                    make.add(way)
                except FileExistsError:
                    pass
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            if make is not None and os.fstat(below).st_mode & 0o7777 == UNFINISHED:
                make.add(way)  # a run that was killed made it
        finally:
            os.close(handle)
        handle = below
    return handle


def refuse_links(root, path):
    here = root
    for part in path.split(b"/"):
        here = os.path.join(here, part)
        if os.path.islink(here):
            raise OSError(errno.ELOOP, "a link is in the way")


# --- what there is -------------------------------------------------------------------------------------------------


class Shelf:
    """All that the given drives say: the sources as they were last, and where each content may lie."""

    def __init__(self, drives):
        self.drives = drives
        self.recorded = {}  # (size, md5) -> [Place]
        self.spoilt = set()  # (size, md5) of which medback found a copy damaged
        self.by_size = {}  # size -> [Place] of the ordinary files whose content is not known yet
        self.found = {}  # (size, md5) -> [Place] of those whose content is known; md5 is b"" where one can't be read
        self.on_record = {}  # (drive number, source id) -> Section, by the drive's own sidecars
        self.hashed = {}
        self._folders = {}  # for a drive that does not say which source a folder is of
        for drive in drives:
            for sections in drive.contexts:
                for section in sections:
                    self._folders.setdefault(os.fsencode(section.alias), section.source)
        for drive in drives:
            self._folders.update(drive.folders)
        self._walk()
        self.sources = self._sources()

    def _walk(self):
        for drive in self.drives:
            for number, (directory, entries) in enumerate(drive.walk(), 1):
                PROGRESS.say("reading the records of %s, directory %d: " % (drive.label, number), directory)
                put_aside = directory.split(b"/")[0] in (OLD, DAMAGED)
                for name, status in entries.items():
                    if stat.S_ISREG(status.st_mode):
                        place = Place(drive.number, join(directory, name))
                        self.by_size.setdefault(status.st_size, []).append(place)
                if SIDECAR in entries:
                    drive.newest = max(drive.newest, entries[SIDECAR].st_mtime)
                    self._take_records(drive, directory, drive.sidecar(directory), put_aside)

    def _take_records(self, drive, directory, data, put_aside):
        for tag, attributes, children in read_lines(data, ("file", "link", "dir")):
            name = exact(attributes, "name")
            true_place = exact(attributes, "path")
            at = None if name is None or not is_component(name) else join(directory, name)
            belongs = self._belongs(drive, at, true_place)
            if tag == "file":
                record = file_of(attributes)
                if record is None or at is None:
                    continue
                if attributes.get("damaged"):
                    self.spoilt.add((record.size, record.md5))
                    continue
                self.recorded.setdefault((record.size, record.md5), []).append(Place(drive.number, at))
                if put_aside:
                    continue
                twins = [exact(more, "at") for kind, more in children if kind == "twin"]
                for source, path in [belongs] + [self._split(twin) for twin in twins]:
                    if source and is_path(path):
                        files = self._told(drive, source).files
                        if path not in files or (files[path].mtime or 0) < (record.mtime or 0):
                            files[path] = record
            elif belongs[0] and is_path(belongs[1]) and not put_aside:
                if tag == "link" and exact(attributes, "to"):
                    self._told(drive, belongs[0]).links[belongs[1]] = exact(attributes, "to")
                elif tag == "dir":
                    facts = bits(attributes.get("mode"), None), seconds(attributes.get("mtime"))
                    self._told(drive, belongs[0]).directories[belongs[1]] = facts
                    for kind, more in children:  # links of a directory that does not lie on the drive
                        name, goal = exact(more, "name"), exact(more, "to")
                        if kind == "holds" and goal and b"\0" not in goal and name and is_component(name):
                            self._told(drive, belongs[0]).links[join(belongs[1], name)] = goal

    def _told(self, drive, source):
        """What the sidecars of a drive tell of a source, to be added to."""
        if (drive.number, source) not in self.on_record:
            folders = [folder for folder, known in self._folders.items() if known == source]
            self.on_record[drive.number, source] = Section(source, shown(folders[0]) if folders else "source")
        return self.on_record[drive.number, source]

    @staticmethod
    def _split(text):
        source, _, path = (text or b"").partition(b":")
        return source.decode("utf-8", "replace"), path

    def _belongs(self, drive, at, true_place):
        """The (source id, path) a record on a drive speaks of."""
        if true_place is not None:
            return self._split(true_place)
        folder, _, path = (at or b"").partition(b"/")
        if drive.folders:
            return drive.folders.get(folder, ""), path
        if folder not in self._folders and path:  # nothing says which source it is: one of its own
            self._folders[folder] = "folder " + shown(folder)
        return self._folders.get(folder, ""), path

    def _sources(self):
        """Each source as it was last, newest knowledge first: {id: Section}."""
        found = {}
        for drive in self.drives:
            taken = set()
            for whole in (True, False):
                # Of one drive the newest context that has the source whole, else one that breaks off.
                for sections in drive.contexts:
                    here = [section for section in sections if section.whole == whole and section.source not in taken]
                    for section in here:  # a source that split has several
                        found.setdefault(section.source, []).append(section)
                    taken.update(section.source for section in here)
        told = {}
        for (number, source), section in self.on_record.items():
            section.date = self._told_at(self.drives[number], source)
            told.setdefault(source, []).append(section)
        merged = {source: merge(found.get(source, []), told.get(source, [])) for source in {**found, **told}}
        for source, section in merged.items():
            sections = found.get(source, [])
            # A file that was renamed may keep its old place on a drive: what the contexts know by content is theirs.
            known = {(r.size, r.md5) for one in sections for r in one.files.values()}
            has_all = any(one.whole for one in sections)  # links and directories it does not have may be gone since
            above = section.above() if has_all else set()
            for one in told.get(source, ()):
                for path, record in one.files.items():
                    if (record.size, record.md5) not in known and path not in section.links:
                        section.files.setdefault(path, record)
                for path, goal in {} if has_all else one.links.items():
                    if path not in section.files:
                        section.links.setdefault(path, goal)
                for path, facts in one.directories.items():
                    if not has_all or path in above:
                        section.directories.setdefault(path, facts)
        return merged

    @staticmethod
    def _told_at(drive, source):
        """The date of what the sidecars of a drive tell of a source; 0 where a context of it has the source whole."""
        here = [one for sections in drive.contexts for one in sections if one.source == source]
        if any(one.whole for one in here):
            return 0.0
        dates = [drive.remembers.get(source, 0.0)] + [one.date for one in here]
        return max(0.0, (max(dates) or drive.newest) - 1)  # its context knew more: a second older

    def places(self, record):
        """Where a content may lie: as the drives' records say, then what is found among the files of its size."""
        named = self.recorded.get((record.size, record.md5), [])
        yield from named
        for place in self._search(record):
            if place not in named:
                yield place

    def _search(self, record):
        """The files that hold a content, those of its size of which nothing is known yet, which are to be read before
        this goes on, and those that can't be read. Each is read once, for whichever content."""
        number, found = 0, self.found.setdefault((record.size, record.md5), [])
        unknown = self.by_size.get(record.size, [])
        while unknown or number < len(found):
            if number < len(found):
                yield found[number]
                number += 1
            else:
                if unknown[-1] not in self.hashed:
                    yield unknown[-1]
                place = unknown.pop()
                self.found.setdefault((record.size, self.digest(place)), []).append(place)
        yield from self.found.get((record.size, b""), ())

    def holds(self, record):
        """Whether any of the drives says it holds a content, or a file on one is found to."""
        if self.recorded.get((record.size, record.md5)):
            return True
        return any(self.digest(place) == record.md5 for place in self._search(record))

    def digest(self, place):
        """The MD5 of a file on a drive, b"" for one that can't be read."""
        if place not in self.hashed:
            try:
                self.hashed[place] = digest_of(self.drives[place.drive].open(place.path))
            except OSError:
                self.hashed[place] = b""
        return self.hashed[place]


def md5():
    try:
        return hashlib.md5(usedforsecurity=False)
    except TypeError:  # Python 3.8
        return hashlib.md5()


def digest_of(fd):
    """The MD5 of an open file, which is closed then. Raises OSError."""
    digest = md5()
    with os.fdopen(fd, "rb") as stream:
        for piece in iter(lambda: stream.read(CHUNK), b""):
            digest.update(piece)
    return digest.digest()


def merge(sections, told):
    """One source as several contexts know it: what is older is dropped, what has split is united by path, and where
    they differ the later one is right. `told`: what the sidecars of drives tell, of which a date says that no whole
    context is there; it counts, as a context that breaks off does, where it is later than every whole one."""
    whole = [section for section in sections if section.whole]
    kept = [
        one
        for one in whole
        if not any(other is not one and one.stamp != other.stamp and one.stamp in other.line for other in whole)
    ] or whole
    last = max([section.date for section in kept] or [-1.0])
    later = [one for one in sections if not one.whole] + [one for one in told if one.date]
    later = [one for one in later if one.date > last]
    if later:
        warn(
            "no whole context tells the newest of %s: what was deleted or renamed since may come back"
            % shown(later[-1].alias)
        )
    kept = sorted(kept + later, key=lambda section: (section.date, section.number)) or told
    newest = kept[-1]
    result = Section(newest.source, max(sections or kept, key=lambda section: section.date).alias)
    result.date = newest.date
    for section in kept:
        for path, record in section.files.items():
            was = result.files.get(path)
            if was is not None and not was.gone and (record.gone or (was.size, was.md5) != (record.size, record.md5)):
                result.others.append((path, was))
        result.files.update(section.files)
        result.links.update(section.links)
        result.directories.update(section.directories)
    for path in list(result.links):  # what was a link once may be a file now, and the other way round
        if path in newest.files and not newest.files[path].gone:
            del result.links[path]
    for path in newest.links:
        result.files.pop(path, None)
    return result


# --- bringing it back ----------------------------------------------------------------------------------------------


class Restore:
    """One run: counts, and what went otherwise than it should."""

    def __init__(self, shelf, to, only):
        self.shelf, self.to = shelf, to
        self.restored = self.bytes = self.right = self.links = 0
        self.in_the_way, self.failed, self.unread, self.damaged, self.missing = [], [], [], [], []
        self.others = []  # (path, Place) of versions that are no file now
        self._temporary = 0
        self._copied = []  # what was copied and has no name yet
        self._waiting = 0  # the bytes of that
        self._handles = {}  # the directories that are open: path -> descriptor
        self._fsyncs = ThreadPoolExecutor(FSYNCS_AT_ONCE)
        self._done = self._all = 0  # files, for the line of progress
        self._only = only
        self._made = set()  # the directories this run made
        self._cleaned = set()  # the directories where nothing of a killed run is left

    def run(self):
        taken, wanted = {}, []
        for source, section in sorted(self.shelf.sources.items(), key=lambda pair: pair[1].alias):
            if self._only and section.alias not in self._only and source not in self._only:
                continue
            live = [(path, record) for path, record in sorted(section.files.items()) if not record.gone]
            wanted.append((free_folder(section, source, taken), section, live))
            self._all += len(live)
        try:
            for folder, section, live in wanted:
                self._source(folder, section, live)
        finally:
            for copied in self._copied:
                copied.stream.close()
                self._unlink(copied)
            self._leave()

    def _source(self, folder, section, live):
        tell("%s: %d files" % (shown(folder), len(live)))
        self._try(self._directory, folder)
        for path, record in live:
            self._done += 1
            self._say(join(folder, path))
            self._try(self._file, join(folder, path), record)
            if len(self._copied) + len(self._handles) >= OPEN_TOGETHER or self._waiting >= BYTES_TOGETHER:
                self._settle()
        self._settle()
        for path in section.standing_directories():
            self._try(self._directory, join(folder, path))
        for path, goal in sorted(section.links.items()):
            self._try(self._link, join(folder, path), goal)
        self._leave()
        for path, record in section.others:
            self.others += [(join(folder, path), place) for place in list(self.shelf.places(record))[:1]]
        for path in sorted(self._made, reverse=True):
            below = path[len(folder) + 1 :]
            self._finish_directory(path, *section.directories.get(below, (None, None)))
        self._made.clear()

    def _say(self, path):
        PROGRESS.say("%d of %d files (%d%%): " % (self._done, self._all, 100 * self._done // (self._all or 1)), path)

    def _try(self, what, path, *facts):
        """Put a file, a link or a directory (`what` does it) at a path; why that failed is kept for the report."""
        try:
            what(path, *facts)
        except (OSError, NotImplementedError) as error:
            self.failed.append((path, getattr(error, "strerror", None) or str(error)))

    def _file(self, path, record):
        handle = self._open_parent(path)
        there = self._stat(handle, path, os.path.basename(path))
        if there is not None:
            self._compare(path, there, record)
            return
        spoilt, unread = (record.size, record.md5) in self.shelf.spoilt, False
        for place in self.shelf.places(record):
            outcome = self._copy(handle, path, place, record)
            if outcome == "done":
                return
            spoilt = spoilt or (
                outcome == "damaged" and place in self.shelf.recorded.get((record.size, record.md5), ())
            )
            unread = unread or outcome == "unread"
        (self.damaged if spoilt else self.unread if unread else self.missing).append(path)

    def _open_parent(self, path):
        """The descriptor of the directory a path lies in, which is made where it isn't there. None: walk by paths."""
        directory = os.path.dirname(path)
        if directory in self._handles:
            return self._handles[directory]
        if not self._copied and len(self._handles) >= OPEN_TOGETHER:
            self._leave()
        handle = None
        if HAS_DIR_FD:
            handle = self._handles[directory] = open_directory(self.to, directory, make=self._made)
        else:
            if directory:
                refuse_links(self.to, directory)
            os.makedirs(os.path.join(self.to, directory), 0o700, exist_ok=True)
        if directory not in self._cleaned:
            self._cleaned.add(directory)
            self._clean(handle, path)
        return handle

    def _leave(self):
        """Close the directories that are open."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def _clean(self, handle, path):
        """Remove the unfinished files that a killed run left beside a path. One that another run is writing stays."""
        for name in os.listdir(os.path.join(self.to, os.path.dirname(path)) if handle is None else handle):
            name = os.fsencode(name)
            if not re.match(re.escape(TEMPORARY) + rb"[0-9]+-[0-9]+\Z", name):
                continue
            where, how = self._at(handle, path, name)
            try:
                fd = os.open(where, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), **how)
                try:
                    is_left = stat.S_ISREG(os.fstat(fd).st_mode) and is_free(fd)
                    if is_left and fcntl is not None:
                        os.unlink(where, **how)
                finally:
                    os.close(fd)
                if is_left and fcntl is None:  # Windows removes no open file, here or in another run
                    os.unlink(where, **how)
            except OSError:
                continue

    def _at(self, handle, path, name):
        """The path (or name) and the arguments that lead to a name in a parent directory."""
        if handle is None:
            return os.path.join(self.to, os.path.dirname(path), name), {}
        return name, {"dir_fd": handle}

    def _stat(self, handle, path, name):
        where, how = self._at(handle, path, name)
        try:
            return os.stat(where, follow_symlinks=False, **how)
        except FileNotFoundError:
            return None

    def _compare(self, path, there, record):
        may_be = stat.S_ISREG(there.st_mode) and there.st_size == record.size
        if may_be and digest_of(open_below(self.to, path, os.O_RDONLY)) == record.md5:
            self.right += 1
        else:
            self.in_the_way.append(path)

    def _copy(self, handle, path, place, record):
        """Copy one file and check it on the way: "done", or "damaged" or "unread" for a place that is no help."""
        drive = self.shelf.drives[place.drive]
        known = self.shelf.hashed.get(place)
        if known is not None and known != record.md5:
            return "damaged" if known else "unread"
        try:
            source = os.fdopen(drive.open(place.path), "rb", 0)
        except OSError:
            return "unread"
        self._temporary += 1
        temporary = TEMPORARY + b"%d-%d" % (os.getpid(), self._temporary)
        where, how = self._at(handle, path, temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        with source:
            target = os.fdopen(os.open(where, flags, 0o600, **how), "wb", 0)
            copied = Copied(target, handle, path, temporary, record)
            is_free(target.fileno())  # from now on no other run takes it for left over
            is_right = False
            try:
                digest, size = md5(), 0
                while True:
                    try:
                        piece = source.read(CHUNK)
                    except OSError:
                        return "unread"
                    if not piece:
                        break
                    digest.update(piece)
                    size += len(piece)
                    write_all(target, piece)
                    if size > CHUNK:
                        self._say(path)
                self.shelf.hashed[place] = digest.digest()
                if (size, digest.digest()) != (record.size, record.md5):
                    return "damaged"
                if hasattr(os, "fchmod"):
                    os.fchmod(target.fileno(), record.mode)
                is_right = True
            finally:
                if not is_right:
                    target.close()
                    self._unlink(copied)
        self._copied.append(copied)
        self._waiting += size
        return "done"

    def _settle(self):
        """Make what was copied durable, and give it its names after that."""
        for error in list(self._fsyncs.map(durable, [one.stream for one in self._copied])):
            one = self._copied.pop(0)
            try:
                if error is not None:
                    raise error
                self._name(one)
            except OSError as failure:
                self.failed.append((one.path, failure.strerror or str(failure)))
            finally:
                one.stream.close()
                self._unlink(one)
        self._waiting = 0
        self._leave()

    def _name(self, copied):
        """Give a durable file its time and its name. Raises OSError."""
        where, how = self._at(copied.handle, copied.path, copied.temporary)
        if copied.record.mtime is not None:
            try:
                os.utime(where, ns=(copied.record.mtime, copied.record.mtime), **how)
            except (OSError, OverflowError):
                pass  # a time this file system can't keep
        name = os.path.basename(copied.path)
        try:
            self._publish(copied.handle, copied.path, copied.temporary, name)
        except FileExistsError:  # made since, or the file system takes two names for one
            there = self._stat(copied.handle, copied.path, name)
            if there is None:
                raise
            self._compare(copied.path, there, copied.record)
            return
        self.restored += 1
        self.bytes += copied.record.size

    def _unlink(self, copied):
        """Remove the temporary name of a file, if it is still there."""
        where, how = self._at(copied.handle, copied.path, copied.temporary)
        try:
            os.unlink(where, **how)
        except FileNotFoundError:
            pass

    def _publish(self, handle, path, temporary, name):
        """Give a whole file its name, never over anything."""
        old, how = self._at(handle, path, temporary)
        new, _ = self._at(handle, path, name)
        try:
            if handle is None:
                os.link(old, new)
            else:
                os.link(old, new, src_dir_fd=handle, dst_dir_fd=handle, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError, AttributeError):  # a file system without hard links
            if self._stat(handle, path, name) is not None:
                raise FileExistsError(errno.EEXIST, "something is there now") from None
            if handle is None:
                os.rename(old, new)
            else:
                os.rename(old, new, src_dir_fd=handle, dst_dir_fd=handle)

    def _directory(self, path):
        self._open_parent(join(path, b"x"))

    def _finish_directory(self, path, mode, mtime):
        """Its permissions and its time, when everything is in it. The owner can always get in again."""
        if not HAS_DIR_FD:
            return
        try:
            handle = open_directory(self.to, path)
        except OSError:
            return
        try:
            os.fchmod(handle, usual_mode() if mode is None else mode | 0o700)
            if mtime is not None:
                os.utime(handle, ns=(mtime, mtime))
        except (OSError, OverflowError):
            pass
        finally:
            os.close(handle)

    def _link(self, path, goal):
        handle, name = self._open_parent(path), os.path.basename(path)
        where, how = self._at(handle, path, name)
        there = self._stat(handle, path, name)
        if there is None:
            os.symlink(goal, where, **how)
            self.links += 1
        elif stat.S_ISLNK(there.st_mode) and os.readlink(where, **how) == goal:
            self.right += 1
        else:
            self.in_the_way.append(path)

    def report(self):
        """Say how it went; the exit code."""
        PROGRESS.clear()
        print(
            "%d files restored (%d bytes), %d already right, %d links"
            % (self.restored, self.bytes, self.right, self.links)
        )
        for path, place in self.others:
            at = os.path.join(self.shelf.drives[place.drive].path, place.path)
            print("two drives tell of two versions of %s: the other one is %s" % (shown(path), shown(at)))
        for path in self.in_the_way:
            print("something else is there, left alone: %s" % shown(path))
        for path, reason in self.failed:
            print("could not be written: %s: %s" % (shown(path), reason))
        for path in self.unread:
            print("may lie on one of these drives, in a file that can't be read (try it as root): %s" % shown(path))
        for path in self.damaged:
            print("damaged on every one of these drives that has it: %s" % shown(path))
        for path in self.missing:
            print("on none of these drives: %s" % shown(path))
        if self.missing and any(drive.unread for drive in self.shelf.drives):
            print("Some directories of these drives can't be read: what is missing may lie there (try it as root).")
        if not_back := len(self.missing) + len(self.damaged) + len(self.unread):
            print("Plug in other drives and run this again: %d files are not back." % not_back)
        if self.damaged:
            return 5
        if self.in_the_way or self.failed or self.unread:
            return 3
        return 6 if self.missing else 0


def durable(stream):
    """Bring an open file onto the medium; the OSError if that failed."""
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        return error
    return None


def write_all(stream, data):
    """Write all of `data` to an unbuffered file. Raises OSError."""
    while data:
        data = data[stream.write(data) :]


def is_free(fd):
    """Lock an open file for as long as it is open. False where another run has it, or where no file can be locked."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


def usual_mode():
    """The permissions a new directory gets on this machine."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o777 & ~mask


def free_folder(section, source, taken):
    """The directory a source is restored to: its alias, with a number where two have the same."""
    alias = os.fsencode(section.alias)
    base = alias if is_component(alias) and not is_metadata(alias) else b"source"
    folder, number = base, 1
    while taken.setdefault(folder, source) != source:
        number += 1
        folder = base + b"-%d" % number
    return folder


def list_all(shelf, files):
    missing = 0
    for section in sorted(shelf.sources.values(), key=lambda section: section.alias):
        live = [(path, record) for path, record in sorted(section.files.items()) if not record.gone]
        lost = [(path, record) for path, record in live if not shelf.holds(record)]
        missing += len(lost)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(section.date)) if section.date else "an unknown date"
        print(
            "%s: %d files (%d bytes), %d links, as of %s; %d files are on none of these drives"
            % (shown(section.alias), len(live), sum(r.size for _, r in live), len(section.links), when, len(lost))
        )
        if files:
            gone = {path for path, _ in lost}
            for path, record in live:
                print("  %s%s  %d" % ("missing " if path in gone else "", shown(path), record.size))
    for drive in shelf.drives:
        print("drive %s: %s" % (drive.label, shown(drive.path)))
    return 6 if missing else 0


# --- the command line ----------------------------------------------------------------------------------------------


class Progress:
    """One line on a terminal that says how far it is; nothing where standard error is no terminal."""

    def __init__(self):
        self._is_on = sys.stderr is not None and sys.stderr.isatty()
        self._cells = 0  # of the line that stands there
        self._next = 0.0

    def say(self, words, path=b""):
        """Show the words, and as much of the end of a path as fits, ten times a second at most."""
        now = time.monotonic()
        if not self._is_on or now < self._next:
            return
        self._next = now + 0.1
        room = shutil.get_terminal_size().columns - 1
        line = self._printable(words)[:room]
        line += fitting(self._printable(shown(path)), room - cells(line))
        self.clear()
        self._cells = cells(line)
        print(line, end="", file=sys.stderr, flush=True)

    @staticmethod
    def _printable(text):
        encoding = sys.stderr.encoding or "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def clear(self):
        """Take the line away, before something else is printed."""
        if self._cells:
            print("\r" + " " * self._cells + "\r", end="", file=sys.stderr, flush=True)
            self._cells = 0


PROGRESS = Progress()


def tell(words):
    PROGRESS.clear()
    print(words, flush=True)


def warn(words):
    PROGRESS.clear()
    print("warning: " + words, file=sys.stderr)


def upwards(path):
    """(directory, its status) of a path and of all above it; None for one that is not there, or can't be looked at."""
    here, last = os.path.realpath(path), None
    while here != last:
        try:
            status = os.stat(here)
        except OSError:
            status = None
        yield here, status
        here, last = os.path.dirname(here), here


def cannot_read(what, error):
    warn("%s can't be read: %s" % (what, error.strerror or error))


def is_inside(inner, outer):
    """Whether a directory is another one or lies in it, by what they are and not by what they are called."""
    wanted = os.stat(outer)
    return any(status is not None and os.path.samestat(status, wanted) for _, status in upwards(inner))


def on_disk(path):
    """Which file system a path lies on and where in it, however it is mounted. None where that can't be told."""
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return None
    real, best = os.path.realpath(path), None
    for line in lines:
        device, root, point = (
            re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code.group(1), 8)]), field)
            for field in line.split(b" ")[2:5]
        )
        if (real + b"/").startswith(point.rstrip(b"/") + b"/") and (best is None or len(point) >= len(best[2])):
            best = device, root, point
    return None if best is None else (best[0], best[1].rstrip(b"/") + real[len(best[2].rstrip(b"/")) :] + b"/")


def overlap(one, other):
    """Whether one of two paths lies in the other on their disk, by a second mount of it too."""
    one, other = on_disk(one), on_disk(other)
    if one is None or other is None or one[0] != other[0]:
        return False
    return one[1].startswith(other[1]) or other[1].startswith(one[1])


def drive_around(path):
    """The root of the drive of medback's that a path lies on, whether the path is there yet or not. None: on none."""
    device = None
    for here, status in upwards(path):
        if status is not None:  # else it is still to be made
            if device not in (None, status.st_dev):
                return None
            device = status.st_dev
        if os.path.lexists(os.path.join(here, IDENTITY)):
            return here
    return None


def main(words=None):
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usage.add_argument("drives", nargs="+", metavar="DRIVE", help="where a drive is mounted")
    usage.add_argument("--to", metavar="DIRECTORY", help="bring everything back below this directory")
    usage.add_argument("--list", action="store_true", help="only say what there is")
    usage.add_argument("--files", action="store_true", help="with --list: every file")
    usage.add_argument("--source", action="append", default=[], metavar="ALIAS", help="only this source (repeatable)")
    given = usage.parse_args(words)
    if bool(given.to) == given.list:
        usage.error("say --list or --to DIRECTORY")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        drives = [Drive(number, path) for number, path in enumerate(given.drives)]
        if given.to:
            to = os.path.abspath(os.fsencode(given.to))
            for drive in drives:
                inside = is_inside(to, drive.path) or (os.path.isdir(to) and is_inside(drive.path, to))
                if inside or overlap(to, drive.path):
                    raise Bad("%s and the drive %s overlap: nothing is written to a drive" % (shown(to), drive.label))
            around = drive_around(to)
            if around is not None:
                raise Bad(
                    "%s lies on a drive that holds backups (%s): choose another place" % (shown(to), shown(around))
                )
            os.makedirs(to, exist_ok=True)
        shelf = Shelf(drives)
        if not shelf.sources:
            if any(drive.id for drive in drives):
                raise Bad("these drives hold no backup yet")
            raise Bad("none of these drives has anything that medback wrote")
        unknown = [
            word for word in given.source if not any(word in (s.alias, s.source) for s in shelf.sources.values())
        ]
        if unknown:
            raise Bad("no source is called %s" % shown(unknown[0]))
        PROGRESS.clear()
        if given.list:
            return list_all(shelf, given.files)
        run = Restore(shelf, to, given.source)
        run.run()
        return run.report()
    except (Bad, OSError) as error:
        PROGRESS.clear()
        print("medback-restore: %s" % (getattr(error, "strerror", None) or error), file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("\nstopped; what is back stays, run it again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
