"""What a person is told of a refusal or a warning: the sentence, and the way out. A command for the command line, a key
for the app. The core says which one it is and its facts; every sentence about them is here."""

from __future__ import annotations

from medback_core.errors import MedbackError, NeedsAnswer
from medback_core.model import Reason, Warned
from medback_core.presenting.sentences import Key, filled

NO = "nothing was changed, as you answered"

REFUSALS = {
    "alias-taken": "another source is called {alias} already",
    "ambiguous/label": "more than one target is called {label}. Their ids are {targets}",
    "ambiguous/source-and-target": "{name} is a source and a target",
    "another-source": "{path} is another source now ({source})",
    "as-kept": "{words}",
    "bad-context/in-file": "{path}: {because}",
    "bad-context/line": "not a readable restore context: line {line}: {reason}",
    "bad-context/no-file": "{path} is not a file",
    "bad-context/source-path": "the source path {path} can't be used on this machine",
    "bad-context/unreadable": "{path} cannot be read: {error}",
    "bad-path/cannot-make": "{path} cannot be made: {error}",
    "bad-path/cannot-open": "{path} cannot be opened: {error}",
    "bad-path/demo": "{path} can't be used for the demo: {error}",
    "bad-path/directory": "{path} is a directory",
    "bad-path/no-context": "{path} is there and is not a restore context",
    "bad-path/no-ordinary-file": "{path} is not a regular file",
    "bad-path/not-relative": "{path} is not a path relative to a source ({reason})",
    "bad-path/own-name": "{path} is a name of medback's own files",
    "busy": "{name} stays mounted: {reason}",
    "busy/mounts": "{name} stays mounted: it is mounted at another place too, or something is mounted in it: {mounts}",
    "busy/users": "{name} stays mounted: in use by {users}",
    "clone": "{because}. Is it another drive now, or is it the same one?",
    "clone/answered-no": NO,
    "clone/no-identity": "{path} carries the id of the target {target}, but not its identity file. Is it another "
    "drive, or is it the same one?",
    "clone/verify": "{because}",
    "copy": "it is a copy of the source {source}",
    "damaged-db": "the session DB {path} is damaged ({error})",
    "damaged-db/error": "the session DB {path}: {error}",
    "damaged-identity": "the identity file of {path} is damaged. Make it a new target?",
    "damaged-identity/answered-no": NO,
    "drive-gone/error": "{path}: {error}; what was recorded is kept",
    "drive-gone/not-durable": "{path} can't make what lies there durable: {error}",
    "drive-gone/other-drive": "{path} was unplugged, or another drive is there now; nothing more was written, what was "
    "done is kept",
    "drive-gone/stopped": "{path} stopped answering; what was done is kept",
    "empty-manifest": "{path} names no file: there is nothing to compare with",
    "foreign-unit": "{path} is there, and medback did not write it",
    "identity-unreadable": "the identity file of {path} cannot be read: {error}",
    "install-units": "write {units:unit|units} to {directory} and start them?",
    "in-place": "{drive} has {files:file|files} of {sources:source that was|sources that were} never on this "
    "machine. They would be put at {paths}. Is that right?",
    "in-place/answered-no": NO,
    "locked": "{path} is in use by another medback",
    "locked/no-locks": "{path} is on a file system without locks",
    "locked/pid": "{path} is in use by medback with pid {pid}",
    "locked/session": "the session DB {path} is in use by another program",
    "missing": "{path} does not exist",
    "missing/directory": "{path} is not there, or is not a directory",
    "missing/no-directory": "{path} is not a directory. Is the drive of {source} plugged in? Nothing was changed",
    "missing/source": "it is not there now",
    "missing/source-away": "{path} does not exist. Is the drive of {source} plugged in? Nothing was changed",
    "missing/unreadable": "{path} cannot be opened ({error}). Is the drive of {source} plugged in? Nothing was changed",
    "neither-source-nor-target": "{path} has the metadata of neither a source nor a target. Is its drive plugged in?",
    "nested": "{because}: one file would count as two copies. What lies there can be verified and restored. Nothing "
    "is written to it",
    "network-file-system": "{path} is on a network file system ({kind}). Nothing is freed there, because another "
    "machine may change it meanwhile",
    "new-target": "{path} is not a target yet ({kind}, mounted at {mount}, {total:size} in all, {free:size} "
    "free{notes}). Make it a target?",
    "new-target/answered-no": NO,
    "no-manifest": "{path} is not a manifest medback can read: {error}",
    "no-manifest/digest": "{path} has no digest of {entry} that medback can compute",
    "no-manifest/no-file": "{path} is no ordinary file",
    "no-manifest/too-large": "{path} is too large to be a manifest",
    "no-session": "there is no session DB at {path}",
    "no-session/gone": "the session DB {path} is gone. It was there when it was opened",
    "no-session/no-directory": "there is no directory {path} for the session DB",
    "no-such-mount": "nothing mounted at {path} belongs to the source {source}",
    "no-program": "where the program medback is installed is not known",
    "no-such-path": "{path} does not exist",
    "no-such-path/deleted": "{path} is no longer in {source}",
    "no-such-path/directory": "there is no directory {path}",
    "no-such-path/directory-of-source": "{source} had no directory {path} when it was last scanned",
    "no-such-path/error": "{path}: {error}",
    "no-such-path/in-no-source": "no source has a directory {path}",
    "no-such-path/no-deleted": "no copy of a deleted {path} of {source} is known",
    "no-such-path/not-relative": "{path} is not a path relative to a source",
    "no-such-path/not-scanned": "{path} was not in {source} when it was last scanned",
    "no-such-path/nothing-known": "nothing is known of {path} in any source",
    "no-such-path/nothing-known-of-source": "nothing is known of {path} in {source}",
    "no-such-path/outside-all": "{path} is in no source",
    "no-such-path/outside-source": "{path} is not in {source}",
    "no-such-path/unreadable": "{path} cannot be read: {error}",
    "no-such-place": "nothing is kept at {place} (there is: {known})",
    "no-such-rule": "{source} has no rule for {path}",
    "no-such-source": "no source is called {source} (there are: {known})",
    "no-such-source-or-target": "no source and no target is called {name}",
    "no-such-target": "no target is called {target} (there are: {known})",
    "no-such-target/unknown": "{target} is not a target of this session",
    "not-a-directory": "{path} is not a directory",
    "not-a-drive": "{name} is a directory on the file system mounted at {mount}: there is nothing to eject",
    "not-a-session": "{path} is not a medback session DB",
    "not-a-session/directory": "{path} is a directory, not a session DB",
    "not-a-session/no-ordinary-file": "{path} is not a regular file, so it can't be a session DB",
    "not-a-target": "{path} is not a target",
    "not-a-target/neither": "{path} is neither a source nor a target",
    "not-a-target/unknown": "{target} is not a target of this session",
    "not-active": "the target {target} is {state}: copies there do not count",
    "not-empty": "{path} is not empty",
    "not-mounted": "{path} is not {source} now. Is its drive plugged in?",
    "not-mounted/another-source": "{path} is not {source} but the source {other}: another drive is mounted there. "
    "Nothing was changed",
    "not-mounted/no-metadata": "{path} has no .medback-source.xml any more. It may be the empty mount point of "
    "{source}. Nothing was changed",
    "not-mounted/no-metadata-yet": "it has no .medback-source.xml. Is its drive plugged in?",
    "not-mounted/went-away": "{path} went away while it was being scanned",
    "not-new": "a rebuild fills a new session, and this one has sources already",
    "not-plugged-in": "{target} is not plugged in",
    "not-plugged-in/damaged-identity": "{path} was the target {target}, but its identity file is damaged. Is the "
    "drive plugged in?",
    "not-plugged-in/empty": "{path} is empty, and was the target {target}. Is the drive plugged in?",
    "not-plugged-in/no-identity": "{path} was the target {target}, but there is no identity file there now. Is the "
    "drive plugged in?",
    "not-this-source": "{path} is not the source {source}: its .medback-source.xml is not there",
    "not-writable": "{path} cannot be written: {error}",
    "nothing-to-rebuild": "there is no list of sources beside {path}",
    "overlap/around-a-target": "{where}, a backup target, lies inside {path}",
    "overlap/around-source": "the source {source} lies inside {path}",
    "overlap/around-target": "{where}, the target {target}, lies inside {path}",
    "overlap/context-inside": "the source {path} would lie inside {other}",
    "overlap/context-on-target": "the source {path} would lie on the target {target}",
    "overlap/inside-source": "{path} lies inside the source {source}",
    "overlap/inside-target": "{path} lies inside {where}, the target {target}",
    "overlap/is-source": "{path} is the source {source}",
    "overlap/is-target": "{path} is {where}, the target {target}",
    "overlap/nested": "{because}: one file would count as two copies",
    "overlap/not-on-this-machine": "{path} is not a path on this machine",
    "overlap/on-a-target": "{path} lies on a backup target ({where})",
    "overlap/restore-on-source": "{path} and the source at {other} overlap",
    "overlap/restore-on-target": "{path} and the target at {target} overlap. A restore never writes to its target",
    "pseudo-file-system": "{path} holds no files to keep: its file system ({kind}) shows the state of the system",
    "read-only": "{path} is mounted read-only",
    "remove-units": "stop and remove {units:unit|units}?",
    "replace-file": "{path} is there. Replace it?",
    "replace-file/answered-no": NO,
    "reclaim": "delete {files:file|files} ({bytes:size}) from {target}?",
    "session-full": "there is no room left for the session DB {path}",
    "session-full/file-size": "the session DB {path} can't grow: no file may be larger than {limit:byte|bytes} here "
    "(`ulimit -f`)",
    "session-full/make": "{path} cannot be made: {error}",
    "session-read-only": "the session DB {path} cannot be written",
    "session-read-only/error": "the session DB {path} cannot be written ({error})",
    "session-read-only/make": "{path} cannot be made: {error}",
    "session-unreadable": "{path} cannot be read: {error}",
    "settings": "the settings file {path}: {reason}",
    "source-empty": "{path} is empty. Is the drive of {source} plugged in? Nothing was changed",
    "source-empty/directory": "{path} of {source} is empty now and has no sidecar. {files:file of it was|files of "
    "it were} found nowhere else. Is a drive not plugged in? All are kept on record",
    "too-many-changes": "{changes} of the {files} files of {source} have changed since the last scan. Nothing of "
    "that was recorded",
    "too-many-deletions": "{gone} of the {contents} different files of {source} are gone since the last scan. All "
    "are kept on record",
    "too-new": "{path} was written by a later medback",
    "unexpected": "{name}: {words}",
    "unknown-target": "this session does not know {name}",
    "unreadable": "{path} cannot be read: {error}",
    "usage/against-reads-all": "--against reads all that the manifest names: it takes no --older-than, --max-bytes "
    "or --for",
    "usage/one-or-all": "name one directory, or all drives",
    "usage/alias": "“{alias}” can't be an alias: {reason}",
    "usage/at": "--at is for --deleted",
    "usage/below-needs-numbers": "--below needs --copies, --elsewhere or both",
    "usage/capacity": "a capacity is a number of bytes from 0 to {most}",
    "usage/conflict": "a conflict is answered with one of these: {known}",
    "usage/copies": "a source wants from 1 to {most} copies",
    "usage/elsewhere": "from 0 to {most} copies can be wanted elsewhere",
    "usage/json-and-output": "standard output has the JSON",
    "usage/label": "“{label}” can't be a label: {reason}",
    "usage/needs-app": "the app is not installed here",
    "usage/needs-terminal": "the app needs a terminal",
    "usage/no-mouse": "--no-mouse is for the app",
    "usage/not-inside": "{path} does not lie inside {source}",
    "usage/not-relative": "{path} is not a path relative to the source",
    "usage/nothing-to-free": "say what to free",
    "usage/nothing-to-set-source": "say what to change",
    "usage/nothing-to-set-target": "say what to change",
    "usage/one-directory": "give the directory once",
    "usage/one-only": "{command} takes one {takes}, and there is more: {more}",
    "usage/options-only": "{command} takes only options, and there is more: {more}",
    "usage/pattern": "{pattern} is not a pattern: {error}",
    "usage/rule-for-directory": "a rule is for a directory inside the source",
    "usage/share-of-absent-drive": "a share of a drive can be given only while it is plugged in",
    "usage/share-of-one-drive": "a share is of one drive: give a size",
    "usage/too-many-elsewhere": "of {copies} wanted copies, {elsewhere} can't be elsewhere",
}

WARNINGS = {
    "active-again": "{target} is clean and active again: its copies count",
    "also-remembers": "{drive} also knows {files:file|files} of {sources}, which this session does not know",
    "another-was-there": "the target {target} was last seen there. If this is that drive, emptied, its copies are gone",
    "cannot-read": "{path} cannot be read: {error}",
    "changed-since": "{path} changed since the last update",
    "context-changed": "the context is not as medback wrote it: it was edited, or a part of it is missing",
    "copies-gone": "{copies:copy is|copies are} no longer on {target} and no longer counted",
    "copies-not-there": "{copies:copy|copies} recorded on {target} are not there and no longer counted",
    "copy-of-source": "{path} is a copy of the source {source}, which is still at {where}. It is added as a source "
    "of its own",
    "dates-in-session": "{target} can't take all dates and marks ({error}); they are kept in the session DB",
    "dies-with": "on the same disk as {targets}: if that disk fails, all of them are lost",
    "directories-not-recorded": "{target} can't take the records of all its directories now: {error}",
    "disk-failing": "the disk of {target} reports that it is failing: copy what is only there",
    "drive-emptied": "the target {target} was on this very file system and is no longer there. It is recorded as lost, "
    "and its copies do not count; if it was moved, it is found again where it is next used",
    "drive-in-doubt": "{path} was the target {target}, and what lies there is damaged: {target} is suspect now, its "
    "copies do not count",
    "drive-not-read": "{target} is plugged in, but cannot be read now: {because}",
    "drive-older": "{target} is older than its last known state. Was it restored from an image, or cloned? What is "
    "missing there is not counted",
    "drive-older/dated": "{target} is as it was before {at:day}. Was it restored from an image, or cloned? What is "
    "missing there is not counted",
    "drive-records-old": "the records on {target} could not be updated: {error}",
    "expected-again": "what {path} lists is expected again: the restore it was read for is not finished",
    "found-again": "the target {target} was lost and is found again. It is suspect until it is verified",
    "full-before-durable": "the drive was full before the last files were durable; they were taken back",
    "identity-damaged": "its identity file is damaged",
    "identity-lost": "{path} was the target {target} and has no identity file. It is read by its records",
    "is-source": "{path} is the source {source}, at {where}",
    "known-from": "{who} ({at:day})",
    "left-out": "{path} is left out: {because}",
    "left-out/damaged-identity": "{path} is left out: its identity file is damaged",
    "left-over": "{path} is left from an earlier run and can't be removed: {error}",
    "made-anew": "{path} did not exist and is made",
    "metadata-lost": "{path} has no .medback-source.xml any more. Its sidecars show that it is {source}. A new "
    "one is written",
    "metadata-was-damaged": "the metadata of {source} was damaged ({damage})",
    "metadata-was-damaged/kept": "the metadata of {source} was damaged ({damage}); it is kept as {aside}",
    "metadata-was-damaged/not-kept": "the metadata of {source} was damaged ({damage}); it cannot be kept: {error}",
    "moved-on-drive": "{copies:copy was|copies were} moved on {target}. They were found again and count",
    "nested": "{because}: one file counts as two copies there. It is read, and nothing is written to it",
    "no-drive-here": "no drive of this session is plugged in",
    "not-started": "the units are written, and nothing is started",
    "not-written": "{path} could not be written: {error}",
    "older-context": "this context has {source} as of {theirs:day}, and this session knows it as of {ours:day}. "
    "{files:file|files} changed or went since then and can be restored as older versions",
    "older-versions-stay": "older versions on {path} that are wanted again stay in .medback-old: {error}",
    "one-disk": "{targets} are on one disk: if that disk fails, all of them are lost",
    "other-disk": "{path} is on another disk than when {source} was last scanned",
    "other-file-system": "{path} says it is the target {target}, but it is on another file system",
    "permissions-not-set": "permissions and times could not be set for {directories:directory|directories}, {path} "
    "first: {error}",
    "private-files-readable": "{files:private file|private files} can be read by anyone who has {target}: its file "
    "system ({kind}) keeps no permissions",
    "record-mended": "the record of {path} in its sidecar was damaged and is right again",
    "records-in-session": "{records:record|records} of {source} could not be written now ({error}); they are kept "
    "in the session DB",
    "records-in-session-only": "{target} can't take the records of what lies on it ({error}). They are in this "
    "session only, and are lost with it",
    "records-not-written": "the records of {source} were not written: {because}",
    "restored-beside": "another source is at {path}: {source} of this context will be restored to {where}",
    "right-again": "{path} was damaged and is right again: it counts",
    "rule-left": "{path} of {source}, which has a rule of its own, is not there any more",
    "same-disk": "{path} is on the same disk as the source {source}: no protection if that disk fails",
    "session-rebuilt": "there was no session DB: a new one is built from the sidecars of the sources",
    "set-aside/afresh": "the session DB that was there is kept as {name}",
    "set-aside/damaged": "the session DB was damaged and is kept as {name}. A new one is built from the sidecars",
    "set-aside/family": "the session DB belonged to the older Python medback and is kept as {name}. A new one is "
    "built from the sidecars",
    "sibling": "{source} was backed up together with {sibling} at {path}, which is not in this session",
    "sidecar-damaged": "the sidecar {path} is damaged ({damage}); what it does not list is read from the files",
    "sidecar-not-kept": "{path} is damaged and cannot be kept: {error}",
    "sidecar-rewritten": "{path} was damaged ({damage}) and was written again",
    "sidecar-was-damaged": "{path} was damaged ({damage}); nothing was lost",
    "sidecar-was-damaged/known": "{path} was damaged ({damage}); the session DB has what it listed",
    "sound-elsewhere": "{path}: this drive has a good copy of the same content elsewhere",
    "source-away": "the source {source} is not there; its files are not copied now",
    "source-back": "the source {source} is back and is in the session again",
    "source-left-out": "the source at {path} has not been in this session since the session DB was lost",
    "source-moved": "the source {source} has moved from {old} to {path}",
    "source-not-marked": "{path} cannot be marked as a source: {error}",
    "source-not-writable": "{path} cannot be written ({error}): its records are kept in the session DB only",
    "source-older": "{source} is as it was before {at:day}. Was it restored from an image, or cloned?",
    "source-remembered": "{path} has no .medback-source.xml any more. The drives remember it: it is the source "
    "{source} again",
    "source-stays": "{source} stays at {path}",
    "split-known": "{source}: {first} and {second} differ in {files:file|files}. Both versions are kept",
    "taken-to-be": "the context's source {source} is taken to be {other}, which is at the same path",
    "tells-nothing": "{path} tells of no files: there is no record on it that can be read",
    "told-by-sidecars": "{drive} has no context that lists all of it. What its sidecars list is expected, under the "
    "names of that time. Files deleted since then may come back",
    "too-readable": "{places:place|places} on {target} could be read by more people than the original; that is "
    "corrected",
    "twin": "{path} has the size and MD5 of another file, but not its content: medback can't back up both",
    "two-of-one": "{path} and {other} both say they are the target {target}",
    "unfinished-restore-unreadable": "a restore is not finished, and its context can't be read: {because}",
    "unknown-key": "the settings file gives a key to {name}, which is the name of nothing in the app",
    "unknown-key/like": "the settings file gives a key to {name}, which is the name of nothing in the app. Is it "
    "{like}?",
    "unknown-theme": "the settings file names the theme {theme}, which is not there. There are {known}",
    "unnamed-drive": "{path} does not say which drive it is ({because}). It is read by its records",
    "wrong-key": "the settings file gives {name} the key {word}, and no key is called so",
    "verify-not-reached": "not read this time: {targets}; they are the first next time",
    "verify-goes-on": "this continues a verify that was stopped; what that one read is not read again now",
}

# Of one entry of many, behind its path.
REASONS = {
    "another-file-there": "another file is there",
    "appeared": "another file was put there during the restore",
    "appeared/other-name": "{there} is there, and this file system takes the two names for one",
    "changed-since-scan": "changed since it was scanned; the next update records it",
    "changed-there": "was changed on the drive",
    "changed-while-copied": "changed while it was being copied; the next update records it",
    "context-not-written": "the restore context could not be written: {error}",
    "damaged": "is damaged: its size and time are as recorded, its content is not",
    "damaged/kept-time": "its content changed, but its size and time did not. Either it is damaged, or a program put "
    "the time back",
    "damaged-before": "is damaged, as found on {at:day}",
    "damaged-there-too": "the copy on {place} is damaged too",
    "directory-not-made": "the directory could not be made: {error}",
    "directory-there": "a directory is in the way",
    "link-not-made": "the link could not be made: {error}",
    "link-there": "a link is in the way",
    "metadata-bad": "the metadata of {source} was damaged ({damage}) and this session did not know it. {source} now "
    "wants {copies:copy|copies}: check that, and the states of the drives",
    "metadata-bad/kept": "the metadata of {source} was damaged ({damage}) and this session did not know it. {source} "
    "now wants {copies:copy|copies}: check that, and the states of the drives. The damaged file is kept as {aside}",
    "metadata-bad/not-kept": "the metadata of {source} was damaged ({damage}) and this session did not know it. "
    "{source} now wants {copies:copy|copies}: check that, and the states of the drives. The damaged file could not be "
    "kept: {error}",
    "missing": "is missing",
    "mount-away": "{files:file of it is|files of it are} not restored: its drive is not mounted there",
    "no-copy/changed": "was changed on the drive. It no longer counts as a copy",
    "no-copy/damaged": "is damaged. It no longer counts as a copy",
    "no-copy/missing": "is missing. It no longer counts as a copy",
    "no-copy/unreadable": "cannot be read: {error}. It no longer counts as a copy",
    "no-digest-yet": "its {algorithm} is not known yet",
    "no-directory-there": "a link or a file is where a directory should be",
    "no-hash": "the context has no hash for it: it could never be read",
    "no-link-there": "something other than the link is there",
    "no-other-copy": "no other copy is known",
    "no-room": "there is no room for it",
    "not-as-recorded": "its content is not what the drive's own record says",
    "not-as-listed": "its content is not what the manifest says",
    "not-as-listed/damaged": "is damaged: its time is what the manifest says, its content is not",
    "not-copied": "could not be copied to {drive}: {error}",
    "not-durable": "could not be made durable: {error}",
    "not-from-there": "the copy on {place} cannot be read: {error}",
    "not-in-format": "{form} can't hold this name",
    "not-kept-aside": "the damaged file could not be kept: {error}",
    "not-looked-at": "was not checked: {because}",
    "not-moved-aside": "the file that is there could not be moved: {error}",
    "not-named": "could not be named on the drive: {error}",
    "not-ours": "medback did not put it there. The next backup makes another copy",
    "not-read-back": "could not be read back from the drive: {error}",
    "not-recorded": "is whole on the drive, but could not be recorded: {error}",
    "not-removed": "could not be removed: {error}",
    "not-restored/content": "its content is not what was recorded. It was not restored from there",
    "not-restored/size": "its size is not what was recorded. It was not restored from there",
    "not-written-there": "could not be written: {error}",
    "nothing-good": "{help}{problems}",
    "other-content": "has the size and MD5 of another file, but other content. It is not a copy, and is left as it is",
    "other-content/than": "has the size and MD5 of {path}, but other content",
    "other-md5": "is damaged or was changed: its MD5 is not what was recorded",
    "other-size": "its size is not what was recorded",
    "plug-in": "plug in {targets}: a copy is there",
    "read-back-otherwise": "what was read back from the drive is not what was written",
    "records-lost": "{records:record of it was|records of it were} damaged; what the sidecar listed there is lost",
    "sidecar-bad": "the sidecar is damaged: {damage}",
    "sidecar-lost": "the sidecar is damaged ({damage}); what it listed beyond the undamaged records is lost",
    "special-there": "a special file is in the way",
    "system": "{error}",
    "tags-lost": "the sidecar is damaged ({damage}): its files are known, the tags of its damaged records are lost",
    "there-unreadable": "the file that is there cannot be read: {error}",
    "twin-not-restored": "is not restored: it was {because}",
    "vanished": "was removed while it was being scanned",
}

# The way out, of one case or of all of a kind. On the command line:
COMMANDS = {
    "also-remembers": "--source names one of them",
    "ambiguous/label": "Use an id",
    "ambiguous/source-and-target": "Give the path of the one you mean",
    "another-source": "Restore elsewhere with --to, or run `medback set-source {source:quoted} --path NEW`",
    "another-was-there": "`medback set-target {id} --state lost` records that",
    "bad-context/source-path": "Use --map {path:quoted}=NEW",
    "bad-path/directory": "Choose another name",
    "bad-path/no-context": "Choose another name",
    "bad-path/own-name": "Choose another name",
    "busy": "Close what is open there, then try again",
    "busy/mounts": "Unmount that, then try again",
    "clone": "`medback target` and `medback discover` take the answer (--new-id or --same-drive)",
    "damaged-db": "`medback rebuild` makes a new one from the sidecars",
    "damaged-identity": "`medback target` makes it a new target (--init)",
    "disk-failing": "`medback set-target {target:quoted} --state suspect` stops counting its copies",
    "drive-in-doubt": "If it is {target}, `medback target {path:quoted} --same-drive` lets it say so again, and a "
    "`medback verify` that finds nothing makes it count",
    "foreign-unit": "Move it away, then run it again",
    "install-units": "-y answers yes",
    "in-place": "--in-place answers yes; --to DIR puts them elsewhere",
    "locked": "Wait until it has finished",
    "missing/no-directory": "If it moved, run `medback set-source {source:quoted} --path NEW`",
    "missing/source": "Run `medback add-src` when it is",
    "missing/source-away": "If it moved, run `medback set-source {source:quoted} --path NEW`",
    "missing/unreadable": "If it moved, run `medback set-source {source:quoted} --path NEW`",
    "mount-away": "If it is gone for good, run `medback set-source {source:quoted} --no-include-mount {path:quoted}`",
    "neither-source-nor-target": "If it is to be a source, run `medback add-src {path:quoted}` afterwards",
    "nested": "Move one of the two elsewhere",
    "new-target": "--init answers yes",
    "no-manifest": "Lists of md5sum, sha1sum, sha256sum, b3sum, hashdeep, BagIt and ASC MHL can be read, and CSV with "
    "the columns path and md5",
    "no-such-path/deleted": "--deleted shows its copies",
    "no-such-path/outside-all": "Name the source with --source for a path relative to it",
    "not-a-session": "Name another with --session-db",
    "not-active": "A clean `medback verify` makes a suspect target active again, `medback set-target "
    "{target:quoted} --state active` any target",
    "not-empty": "Give the demo a directory of its own",
    "not-mounted/no-metadata": "If it is {source}, run `medback update {source:quoted} --accept-deletions`",
    "not-plugged-in/damaged-identity": "`medback target` takes the answer: --same-drive if it is that drive, --init "
    "to make it a new target",
    "not-plugged-in/no-identity": "`medback target` takes the answer: --same-drive if it is that drive, --init to "
    "make it a new target",
    "not-started": "Without systemd, cron runs `medback update` and `medback verify --all --for 1h`",
    "nothing-to-rebuild": "Name the sources",
    "older-context": "`medback restore --deleted` restores them; --replace expects them",
    "other-md5": "`medback verify` tells which",
    "overlap/context-inside": "Use --map {path:quoted}=NEW",
    "overlap/context-on-target": "Use --map {path:quoted}=NEW",
    "overlap/not-on-this-machine": "Use --to",
    "overlap/restore-on-source": "Use --to",
    "reclaim": "Nothing was deleted; -y answers yes",
    "remove-units": "-y answers yes",
    "no-program": "Install it: `uv tool install`, `pipx install` or `pip install`",
    "replace-file": "-y answers yes",
    "rule-left": "If it moved, `medback set-source {source:quoted} --below NEW` gives its new place the rule",
    "settings": "`medback config --example` prints a file with every setting",
    "sibling": "`medback add-src` adds it, `medback rebuild` all of them",
    "source-empty": "If it is gone for good, run `medback remove-src {source:quoted}`. If it moved, run `medback "
    "set-source {source:quoted} --path NEW`",
    "source-empty/directory": "If they are gone for good, run `medback update {source:quoted} --accept-deletions`",
    "source-left-out": "The next `medback update` adds it when it is there; `medback remove-src {path:quoted}` "
    "forgets it",
    "source-stays": "`medback set-source {source:quoted} --path NEW` moves it",
    "too-many-changes": "If that is right, run `medback update {source:quoted} --accept-changes`",
    "too-many-deletions": "If that is right, run `medback update {source:quoted} --accept-deletions`",
    "too-new": "Use that one, or name another session DB with --session-db",
    "unknown-key": "`medback config --keys` lists the names",
    "wrong-key": "Keys are called B, f2, ctrl+t or question_mark",
    "unknown-target": "`medback discover` reads what lies there",
    "usage/below-needs-numbers": "`medback set-source SOURCE --below DIR --copies 3`, for example",
    "usage/json-and-output": "Give a file with -o",
    "usage/needs-terminal": "`medback --help` lists what can be done without one",
    "usage/no-mouse": "Run `medback --no-mouse`, or `medback tui --no-mouse`",
    "usage/not-relative": "Give the directory as it stands below the source: photos/2024, for example",
    "usage/nothing-to-free": "Give --old, --surplus or both",
    "usage/nothing-to-set-source": "--alias, --path, --copies, --place, --exclude and more: see --help",
    "usage/nothing-to-set-target": "Give --state, --label, --capacity, --on-plug, --disk or --place",
    "usage/one-or-all": "`medback verify PATH`, or `medback verify --all`",
    "usage/one-directory": "`medback add-src DIR`, or --srd-dir DIR",
    "usage/one-only": "Run it once for each; a path of several words stands in quotes",
    "usage/options-only": "`medback {command} --help` lists them",
    "usage/rule-for-directory": "For the whole source leave --below out",
    "usage/share-of-absent-drive": "Give a size",
    "usage/too-many-elsewhere": "Give --copies {elsewhere} or more too, or fewer copies elsewhere",
}

# In the app; `{key:…}` is the key of a binding.
KEYS = {
    "alias-taken": "Choose another name",
    "another-source": "{key:restore.to} restores elsewhere",
    "another-was-there": "{key:targets.state} records it as lost",
    "bad-context": "Choose another file: each drive has one, .medback-context.xml",
    "bad-path": "Choose another",
    "busy": "Close what is open there, then try again",
    "busy/mounts": "Unmount that, then try again",
    "damaged-db": "Run `medback rebuild`, which makes a new one from the sidecars",
    "locked": "Wait until it has finished, then try again",
    "missing": "Plug its drive in, then update again ({key:sources.update}). If it moved, edit its path "
    "({key:sources.edit})",
    "nested": "Move one of the two elsewhere",
    "network-file-system": "Free room there by hand",
    "no-such-path": "Choose one that exists",
    "not-a-directory": "Choose a directory",
    "not-a-target": "Make a new target ({key:targets.new} on screen {key:go.targets})",
    "not-active": "Verify it ({key:targets.verify}), or set its state ({key:targets.state})",
    "not-mounted": "Mount it, then update again ({key:sources.update})",
    "not-mounted/no-metadata": "If it is {source}, accept it ({key:sources.accept} on screen {key:go.sources})",
    "not-plugged-in": "Plug the drive in, then try again",
    "not-this-source": "Choose the directory it was moved to: .medback-source.xml is in it",
    "not-writable": "Look at its permissions, or choose another drive",
    "older-context": "They are among the deleted files of that source",
    "overlap": "Choose a directory that lies in no source and on no target",
    "overlap/not-on-this-machine": "{key:restore.to} restores elsewhere",
    "overlap/restore-on-source": "{key:restore.to} restores elsewhere",
    "read-only": "Mount it writable, or choose another drive",
    "session-full": "Free some room on the disk of the session DB",
    "session-read-only": "Look at the permissions of the session DB, or use another --session-db",
    "settings": "Correct it in an editor",
    "sibling": "Add it ({key:sources.add})",
    "source-empty": "Plug its drive in, then update again ({key:sources.update}). If it is gone for good, forget it "
    "({key:sources.forget})",
    "source-empty/directory": "If they are gone for good, accept that ({key:sources.accept} on screen "
    "{key:go.sources})",
    "source-left-out": "The next update ({key:sources.update-all}) adds it when it is there",
    "source-stays": "Edit its path to move it ({key:sources.edit})",
    "too-many-changes": "If that is right, accept it ({key:sources.accept} on screen {key:go.sources})",
    "too-many-deletions": "If that is right, accept it ({key:sources.accept} on screen {key:go.sources})",
    "unknown-key": "`medback config --keys` lists the names",
    "wrong-key": "Keys are called B, f2, ctrl+t or question_mark",
    "too-new": "Use that medback, or another session DB",
}


def sentence(said: object) -> str:
    """What is so: one sentence or more, without a full stop at the end."""
    match said:
        case MedbackError():
            return filled(REFUSALS[said.what], said.facts, sentence)
        case Warned(what, facts):
            return filled(WARNINGS[what], facts, sentence)
        case Reason(what, facts):
            return filled(REASONS[what], facts, sentence)
    return "" if said is None else str(said)


def way_out(said: MedbackError | Warned | Reason, key: Key | None = None) -> str:
    """What to do about it, "" where nothing helps: a command, or, with `key`, keys of the app."""
    ways = COMMANDS if key is None else KEYS
    template = ways.get(said.what) or ways.get(said.what.partition("/")[0])
    if template is None or said.what.endswith("/answered-no"):
        return ""
    return filled(template, said.facts, sentence, key)


def message(said: MedbackError | Warned | Reason, key: Key | None = None) -> str:
    """The sentence and the way out."""
    first, then = sentence(said), way_out(said, key)
    if not then:
        return first
    return f"{first} {then}" if first.endswith(("?", ".")) else f"{first}. {then}"


def kept(text: str, key: Key | None = None) -> str:
    """What a source keeps of its last refusal, as `message`; "" where there is none."""
    from medback_core.session.sources import kept_refusal

    return message(kept_refusal(text), key) if text else ""


def answered_no(question: NeedsAnswer) -> NeedsAnswer:
    """The refusal of a question that was answered with no."""
    return NeedsAnswer(f"{question.kind}/answered-no")
