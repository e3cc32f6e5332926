"""The tables of the session DB, and how an older DB becomes a current one.

The DB is a cache: everything in it can be had again from the sidecars. Its one clever part is the coverage roll-up:
triggers write a row into `delta` or `moved` whenever a file or the placement of an identity changes, by any
statement, and `rollup.flush` folds those rows into the totals of every directory above before the transaction ends. So
no code path can forget to keep the totals right.
"""

from __future__ import annotations

APPLICATION_ID = 0x6D65_6462  # "medb"
VERSION = 6

# mtime_ns and ctime_ns have no declared type: a time outside 64 bits (ext4 goes to the year 2446) is stored as text,
# and a column with INTEGER affinity would turn that text into an inexact float.
_UNREAD = """-- what the round of checking under way has still to read: identities of a target, files of a source
CREATE TABLE unread (
    target_id INTEGER NOT NULL,  -- 0: of a source
    source_id INTEGER NOT NULL,  -- 0: of a target
    key INTEGER NOT NULL,
    PRIMARY KEY (target_id, source_id, key)
) WITHOUT ROWID;
"""
_WITHDRAWN = """-- what was seen not to lie on a target: no older record makes it a copy again before it is seen there
CREATE TABLE withdrawn (
    identity_id INTEGER NOT NULL REFERENCES identity,
    target_id INTEGER NOT NULL REFERENCES target,
    PRIMARY KEY (identity_id, target_id)
) WITHOUT ROWID;
"""
_HEARD = """-- what drives remember and a person was told of: taken up, or not wanted; asked once for each stamp
CREATE TABLE heard (drive TEXT PRIMARY KEY, stamp TEXT NOT NULL, taken INTEGER NOT NULL) WITHOUT ROWID;
"""
_TOLD = """-- what each column says stands in SCHEMA
ALTER TABLE source ADD COLUMN told_at INTEGER;
ALTER TABLE source ADD COLUMN in_place INTEGER NOT NULL DEFAULT 1;
ALTER TABLE placed ADD COLUMN put INTEGER NOT NULL DEFAULT 0;
"""

_STATES = """-- whose word is newer: the states of targets ('target') and of sources' trees ('source')
CREATE TABLE state (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    n INTEGER NOT NULL DEFAULT 0,  -- what this session knows is as of this state; 0: of none yet
    stamp TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL DEFAULT 0,
    made_by TEXT NOT NULL DEFAULT '',
    line TEXT NOT NULL DEFAULT '',
    highest INTEGER NOT NULL DEFAULT 0,  -- the highest number read anywhere
    changed INTEGER NOT NULL DEFAULT 0,  -- and more is known since, which no state tells of yet
    there TEXT NOT NULL DEFAULT '',  -- the stamp in a source's own metadata when it was last read or written
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
-- every state whose tale this session has read, or made
CREATE TABLE stamp_read (stamp TEXT PRIMARY KEY) WITHOUT ROWID;
-- the state of a target that what is known of a source's copies there is as of
CREATE TABLE told (
    source_sid TEXT NOT NULL,
    target_tid TEXT NOT NULL,
    n INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    PRIMARY KEY (source_sid, target_tid)
) WITHOUT ROWID;
-- the id of this session
CREATE TABLE own (id TEXT NOT NULL);
INSERT INTO own VALUES (lower(hex(randomblob(6))));
"""
_GAPS = """-- what the last scan of a source could not look at, or left out without the person having said so
CREATE TABLE gap (
    source_id INTEGER NOT NULL REFERENCES source,
    path BLOB NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;
-- what is mounted inside a source and belongs to it; without a uuid: whatever is mounted there at the next scan
CREATE TABLE nested (
    source_id INTEGER NOT NULL REFERENCES source,
    path BLOB NOT NULL,
    fs_uuid TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;
"""
_ONE_FILE_SYSTEM = """-- 1: the person said so; 0: local mounts are read; NULL: a source from before medback asked
ALTER TABLE source ADD COLUMN one_file_system INTEGER;
"""

_DISK = """ALTER TABLE target ADD COLUMN disk TEXT;
"""
_SAME_DISK = """-- of two targets that were plugged in together: whether they lie on one disk
CREATE TABLE same_disk (
    one INTEGER NOT NULL REFERENCES target,
    other INTEGER NOT NULL REFERENCES target,
    same INTEGER NOT NULL,
    PRIMARY KEY (one, other)
) WITHOUT ROWID;
"""

_GONE_BY_DATE = """CREATE INDEX gone_by_date ON gone (COALESCE(gone_at, 0) DESC, source_id, path, identity_id);
"""

_DIRECTORIES = """-- what an imported context says of the directories it expects
CREATE TABLE expected_directory (
    source_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    mode INTEGER NOT NULL,
    mtime_ns NOT NULL,
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;
-- directories (absolute) a restore makes, and the mode and time each is given when all is in it
CREATE TABLE making (path BLOB PRIMARY KEY, mode INTEGER NOT NULL, mtime_ns NOT NULL) WITHOUT ROWID;
"""

_DIRECTORY_COLUMNS = "ALTER TABLE directory ADD COLUMN mode INTEGER; ALTER TABLE directory ADD COLUMN mtime_ns;"

_PLACES = """-- where sources and targets are kept, as people call it; what each column says stands in SCHEMA
ALTER TABLE source ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0;
ALTER TABLE source ADD COLUMN place TEXT;
ALTER TABLE target ADD COLUMN place TEXT;
"""
_RULES = """-- what is wanted at and below a directory of a source; a number that is NULL is as it is above it
CREATE TABLE rule (
    source_id INTEGER NOT NULL REFERENCES source,
    path BLOB NOT NULL,
    copies INTEGER,
    elsewhere INTEGER,
    rev INTEGER NOT NULL,
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;
"""

_SECOND_DIGEST = """-- the second digest; what each column says stands in SCHEMA
ALTER TABLE identity ADD COLUMN blake3 BLOB;
ALTER TABLE identity ADD COLUMN blake3_read INTEGER NOT NULL DEFAULT 0;
"""
_TWINS = """-- paths whose content has the size and MD5 of an identity, and another BLAKE3, made by a reading of this
-- session. NULL: two records differ, and the file is to be read
CREATE TABLE twin (
    source_id INTEGER NOT NULL,  -- 0: on a target
    target_id INTEGER NOT NULL,  -- 0: in a source
    path BLOB NOT NULL,
    identity_id INTEGER NOT NULL REFERENCES identity,
    blake3 BLOB,
    PRIMARY KEY (source_id, target_id, path)
) WITHOUT ROWID;
CREATE INDEX twin_by_identity ON twin (identity_id);
"""
_PLUGGED = """-- what `watch` does with a target, the encrypted container it was seen in, what its disk said of itself
ALTER TABLE target ADD COLUMN on_plug TEXT;
ALTER TABLE target ADD COLUMN luks TEXT;
ALTER TABLE target ADD COLUMN health TEXT;
ALTER TABLE target ADD COLUMN health_at INTEGER;
"""
_HISTORY = """-- what happened: one row an event, as this session saw it or as drives and sources tell
CREATE TABLE history (
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    target TEXT NOT NULL,  -- id; '': of a source alone
    source TEXT NOT NULL,  -- id; '': of a target alone
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    unsafe INTEGER NOT NULL,
    health TEXT NOT NULL,
    PRIMARY KEY (at, what, target, source)
) WITHOUT ROWID;
CREATE INDEX history_of_thing ON history (what, target, source, at);
"""
_FIRST_HISTORY = """INSERT INTO history SELECT seen_at, 'visit', tid, '', 0, 0, 0, '' FROM target
    WHERE known AND seen_at IS NOT NULL;
INSERT INTO history SELECT health_at, 'health', tid, '', 0, 0, 0, health FROM target
    WHERE known AND health IS NOT NULL AND health_at IS NOT NULL;
"""

SCHEMA = (
    _UNREAD
    + _WITHDRAWN
    + _STATES
    + _SAME_DISK
    + _GAPS
    + _HEARD
    + _DIRECTORIES
    + _RULES
    + _TWINS
    + _HISTORY
    + """
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    alias TEXT NOT NULL UNIQUE,
    path BLOB NOT NULL,
    wanted INTEGER NOT NULL,
    excludes TEXT NOT NULL DEFAULT '[]',
    rev INTEGER NOT NULL DEFAULT 1,
    device INTEGER,
    scan_number INTEGER NOT NULL DEFAULT 0,
    scanned_at INTEGER,
    refused TEXT NOT NULL DEFAULT '',
    metadata_dirty INTEGER NOT NULL DEFAULT 1,
    one_file_system INTEGER,  -- 1: the person said so; 0: local mounts are read; NULL: from before medback asked
    told_at INTEGER,  -- the date of the newest word on a source that no scan has seen here
    in_place INTEGER NOT NULL DEFAULT 1,  -- 0: drives told of it, and nobody said that it may go to its own path
    elsewhere INTEGER NOT NULL DEFAULT 0,  -- so many of the wanted copies lie at another place
    place TEXT  -- where it is kept, as people call it; NULL: home
);
CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    tid TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'active',
    known INTEGER NOT NULL DEFAULT 0,
    rev INTEGER NOT NULL DEFAULT 0,
    capacity INTEGER,
    path BLOB,
    device INTEGER,
    fs_uuid TEXT,
    fs_type TEXT,
    created INTEGER,
    seen_at INTEGER,
    verified_at INTEGER,
    free_bytes INTEGER,
    total_bytes INTEGER,
    disk TEXT,  -- what people call the disk it lies on; NULL: as the kernel tells
    place TEXT,  -- where it is kept, as people call it; NULL: where this machine is
    on_plug TEXT,  -- what `watch` does with it; NULL: as the settings say
    luks TEXT,  -- uuid of the encrypted container it was last seen in
    health TEXT,  -- what its disk said of itself, and when
    health_at INTEGER
);
CREATE TABLE target_alias (tid TEXT PRIMARY KEY, target_id INTEGER NOT NULL REFERENCES target) WITHOUT ROWID;
CREATE TABLE folder (
    target_id INTEGER NOT NULL REFERENCES target,
    source_sid TEXT NOT NULL,
    name BLOB NOT NULL,
    PRIMARY KEY (target_id, source_sid)
) WITHOUT ROWID;

CREATE TABLE directory (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES source,
    parent_id INTEGER REFERENCES directory,
    path BLOB NOT NULL,
    device INTEGER,
    sidecar_inode INTEGER, sidecar_size INTEGER, sidecar_mtime_ns, sidecar_ctime_ns,
    seen INTEGER NOT NULL DEFAULT 0,
    dirty INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0,
    oldest_own INTEGER,
    oldest INTEGER,
    mode INTEGER, mtime_ns,  -- NULL: no scan has looked yet
    UNIQUE (source_id, path)
);
CREATE INDEX directory_by_parent ON directory (parent_id);
CREATE INDEX directory_dirty ON directory (source_id) WHERE dirty;
CREATE INDEX directory_stale ON directory (id) WHERE stale;

CREATE TABLE placement (
    id INTEGER PRIMARY KEY,
    members TEXT NOT NULL UNIQUE,
    identities INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
);
INSERT INTO placement (id, members) VALUES (1, '');

CREATE TABLE identity (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    md5 BLOB NOT NULL,
    placement_id INTEGER NOT NULL DEFAULT 1,
    checked_at INTEGER,
    blake3 BLOB,  -- NULL: not known
    blake3_read INTEGER NOT NULL DEFAULT 0,  -- 1: a reading of this session made it; 0: a record told of it
    UNIQUE (md5, size)
);

CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    directory_id INTEGER NOT NULL REFERENCES directory,
    name BLOB NOT NULL,
    identity_id INTEGER NOT NULL REFERENCES identity,
    mtime_ns NOT NULL,
    mode INTEGER NOT NULL DEFAULT 420,
    device INTEGER,
    inode INTEGER,
    ctime_ns,
    trouble INTEGER NOT NULL DEFAULT 0,
    read_at INTEGER,
    UNIQUE (directory_id, name)
);
CREATE INDEX file_by_identity ON file (identity_id);
CREATE INDEX file_by_inode ON file (inode);
CREATE INDEX file_in_trouble ON file (directory_id) WHERE trouble > 0;

CREATE TABLE link (
    directory_id INTEGER NOT NULL REFERENCES directory,
    name BLOB NOT NULL,
    goal BLOB NOT NULL,
    PRIMARY KEY (directory_id, name)
) WITHOUT ROWID;

CREATE TABLE copy (
    identity_id INTEGER NOT NULL REFERENCES identity,
    target_id INTEGER NOT NULL REFERENCES target,
    standing INTEGER NOT NULL,
    path BLOB,
    mtime_ns,
    verified_at INTEGER,
    ours INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (identity_id, target_id)
) WITHOUT ROWID;
CREATE INDEX copy_by_target ON copy (target_id, identity_id);

CREATE TABLE rollup (
    directory_id INTEGER NOT NULL,
    placement_id INTEGER NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (directory_id, placement_id)
) WITHOUT ROWID;
-- what changed since the roll-up was last right: files that came (1) or went (-1), and which placement an identity had
CREATE TABLE delta (directory_id INTEGER NOT NULL, identity_id INTEGER NOT NULL, files INTEGER NOT NULL);
CREATE TABLE moved (identity_id INTEGER PRIMARY KEY, placement_id INTEGER NOT NULL);

-- what a scan found gone or changed, waiting for the end of the scan (promise 6)
CREATE TABLE staged (
    file_id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL,
    size INTEGER, md5 BLOB, mtime_ns, mode INTEGER, device INTEGER, inode INTEGER, ctime_ns
);
CREATE INDEX staged_by_source ON staged (source_id);

-- paths that left a source while a copy of their content exists
CREATE TABLE gone (
    source_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    identity_id INTEGER NOT NULL,
    mtime_ns NOT NULL,
    mode INTEGER NOT NULL,
    gone_at INTEGER,
    PRIMARY KEY (source_id, path, identity_id)
) WITHOUT ROWID;

"""
    + _GONE_BY_DATE
    + """
-- what an imported context says should exist; never edited by a scan
CREATE TABLE expected (
    source_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    identity_id INTEGER,
    mtime_ns,
    mode INTEGER,
    goal BLOB,
    gone_at INTEGER,
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;

-- destinations a restore has put or found right, so that they are not hashed again
CREATE TABLE placed (
    path BLOB PRIMARY KEY,
    identity_id INTEGER NOT NULL,
    device INTEGER, inode INTEGER, mtime_ns, ctime_ns,
    put INTEGER NOT NULL DEFAULT 0  -- 1: a restore put it there; 0: it was found right there
) WITHOUT ROWID;

-- names a batch is about to get on a target: after a kill, how a run knows its own files from somebody else's
CREATE TABLE landing (target_id INTEGER NOT NULL, path BLOB NOT NULL, PRIMARY KEY (target_id, path)) WITHOUT ROWID;

-- what a target's own sidecars must still be told when the drive is next seen
CREATE TABLE pending (  -- columns in the order of the key: else SQLite 3.40's quick_check sees NULLs that are not there
    target_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    identity_id INTEGER NOT NULL,
    PRIMARY KEY (target_id, path, identity_id)
) WITHOUT ROWID;

CREATE TRIGGER file_added AFTER INSERT ON file BEGIN
    INSERT INTO delta VALUES (NEW.directory_id, NEW.identity_id, 1);
END;
CREATE TRIGGER file_removed AFTER DELETE ON file BEGIN
    INSERT INTO delta VALUES (OLD.directory_id, OLD.identity_id, -1);
END;
CREATE TRIGGER file_changed AFTER UPDATE OF identity_id, directory_id ON file
WHEN OLD.identity_id <> NEW.identity_id OR OLD.directory_id <> NEW.directory_id BEGIN
    INSERT INTO delta VALUES (OLD.directory_id, OLD.identity_id, -1);
    INSERT INTO delta VALUES (NEW.directory_id, NEW.identity_id, 1);
END;
CREATE TRIGGER identity_placed AFTER UPDATE OF placement_id ON identity WHEN OLD.placement_id <> NEW.placement_id BEGIN
    INSERT OR IGNORE INTO moved VALUES (NEW.id, OLD.placement_id);
END;
"""
)

# version -> what brings a DB of that version to the next one
MIGRATIONS = {
    1: _UNREAD,
    2: _WITHDRAWN,
    3: _STATES
    + _GAPS
    + _ONE_FILE_SYSTEM
    + _GONE_BY_DATE
    + _HEARD
    + _TOLD
    + _DISK
    + _SAME_DISK
    + _DIRECTORIES
    + _DIRECTORY_COLUMNS,
    4: _PLACES + _RULES + _SECOND_DIGEST + _TWINS + _PLUGGED,
    5: _HISTORY + _FIRST_HISTORY,
}
