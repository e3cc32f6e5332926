"""The only package that changes anything on a drive.

`Root` reaches what is there without following links, `Group` puts files there in a durable batch, `Pipeline` has two
batches under way, the functions of `moving` make single changes, `filesystem` tells what a drive can do, `locks` keeps
others off, `causes` what an error says. All of it goes through `primitives`, whose observer lets a test fail or end the
process at any change.
"""

from __future__ import annotations

from medback_core.disk import filesystem, locks, names_on_drive, portable, primitives
from medback_core.disk.causes import OF_THE_DRIVE, Cause, Changed, cause_of
from medback_core.disk.devices import (
    FAILING,
    PASSED,
    Busy,
    Locked,
    container_of,
    health_of,
    locked_containers,
    mount_changes,
    take_out,
)
from medback_core.disk.filesystem import FileSystem, describe, same_uuid
from medback_core.disk.group import BATCH_BYTES, BATCH_FILES, Group
from medback_core.disk.locks import lock_drive, lock_session
from medback_core.disk.mounts import Mount, removable_mounts
from medback_core.disk.moving import (
    TEMPORARY,
    Cleaned,
    clean_temporaries,
    freeing_name,
    make_symlink,
    move,
    put_back,
    read_own,
    remove,
    remove_before,
    remove_empty_directory,
    set_directory,
    set_file_mode,
    sync_drive,
    write_whole,
)
from medback_core.disk.names_on_drive import (
    collision_name,
    escape_component,
    escape_path,
    free_name,
    numbered,
    other_names,
)
from medback_core.disk.overlap import Lies, is_same_directory, lies, path_inside, share_disk
from medback_core.disk.pipeline import Batch, Pipeline
from medback_core.disk.portable import birth_ns
from medback_core.disk.primitives import set_observer
from medback_core.disk.reading import ALONE, AsRecorded, FromDrive, content_on_drive, ended, read_from_drive, read_many
from medback_core.disk.root import Root
from medback_core.disk.staged import ContentDiffers, SmallCopy, Staged
from medback_core.disk.staging import SMALL
from medback_core.disk.worker_pool import AT_ONCE
from medback_core.disk.worker_process import in_any_group
