# SPDX-License-Identifier: Apache-2.0
"""The records of bpf/records.h as numpy types; a unit test compares the two field by field."""

from __future__ import annotations

import numpy as np

LAYOUT = 9
BLOCK_PAGES = 512
SLOT_ROOT = 1
SLOT_MASK = 0xFFFFF  # of an owner word
# Of an owner word, above the slot: page cache of a file that is charged to the slot; what a page is counted as.
OWNER_BY_FILE = 0x200000
OWNER_ANON, OWNER_FILE, OWNER_SHMEM, OWNER_MAPPED = 0x1000000, 0x2000000, 0x4000000, 0x8000000
SLOT_FREE, SLOT_LIVE, SLOT_DEAD = 0, 1, 2

UNKNOWN = np.iinfo(np.int64).min  # in a column: this is not known of that container

ROW = np.dtype(
    [
        ("alloc_anon", "i8"),
        ("free_anon", "i8"),
        ("free_file", "i8"),
        ("add_file", "i8"),
        ("add_from_anon", "i8"),
        ("delete_file", "i8"),
        ("free_shmem", "i8"),
        ("freeing", "i8"),
        ("adjust_anon", "i8"),
        ("adjust_file", "i8"),
        ("adjust_shmem", "i8"),
        ("adjust_mapped", "i8"),
        ("shmem", "i8"),
        ("mapped", "i8"),
        ("inherited", "i8"),
        ("delete_shmem", "i8"),
    ]
)

GROUP = np.dtype(
    [
        ("tasks", "i4"),
        ("starting", "i4"),
        ("tasks_peak", "i8"),
        ("forks", "i8"),
        ("exits", "i8"),
        ("pages", "i8"),
        ("pages_peak", "i8"),
        ("tasks_local", "i4"),
        ("limited", "u4"),
        ("parent", "u4"),
        ("children", "u4"),
    ]
)

NO_LIMIT = np.iinfo(np.int64).max  # as an argument of the program set_limits

LIMIT_ARMED, LIMIT_HIT, LIMIT_TOLD = 0, 1, 2

LIMIT = np.dtype(
    [
        ("task_limit", "i8"),
        ("page_limit", "i8"),
        ("page_stop", "i8"),
        ("task_limit_hits", "u8"),
        ("page_limit_hits", "u8"),
        ("tasks_flag", "u8"),
        ("pages_flag", "u8"),
        ("stop_flag", "u8"),
        ("tasks_at_hit", "i8"),
        ("pages_at_hit", "i8"),
        ("stop_at_hit", "i8"),
    ]
)

SLOT = np.dtype(
    [
        ("cgroup_id", "u8"),
        ("born_ns", "u8"),
        ("died_ns", "u8"),
        ("state", "u4"),
        ("level", "u4"),
        ("partial", "u4"),
        ("heir", "u4"),
        ("words", "u4"),
        ("spare", "u4"),
    ]
)

STATE = np.dtype(
    [
        ("topology", "u8"),
        ("dead_slots", "u8"),
        ("slots_exhausted", "u8"),
        ("tasks_lost", "u8"),
        ("pages_lost", "u8"),
        ("pages_unclaimed", "u8"),
        ("ends", "u8"),
        ("other_ends", "u8"),
        ("managed_root", "u8"),
        ("notices_lost", "u8"),
        ("files", "u8"),
        ("files_gone", "u8"),
    ]
)

ENDS = 1024
END_REASON_BYTES = 64
END_PATH_BYTES = 320

END = np.dtype(
    [
        ("sequence", "u8"),
        ("cgroup_id", "u8"),
        ("born_ns", "u8"),
        ("died_ns", "u8"),
        ("tasks_peak", "i8"),
        ("forks", "i8"),
        ("exits", "i8"),
        ("pages", "i8"),
        ("pages_peak", "i8"),
        ("anon", "i8"),
        ("file", "i8"),
        ("shmem", "i8"),
        ("task_limit_hits", "u8"),
        ("page_limit_hits", "u8"),
        ("slot", "u4"),
        ("partial", "u4"),
        ("children", "u4"),
        ("path_bytes", "u4"),
        ("path_cut", "u4"),
        ("spare", "u4"),
        ("reason", "u1", (END_REASON_BYTES,)),
        ("path", "u1", (END_PATH_BYTES,)),
    ]
)

FILES = 4096
FILE_PATH_BYTES = 1024
FILTER_WORDS = 1024

FILE_KEY = np.dtype([("inode", "u8"), ("device", "u4"), ("generation", "u4")])
FILE = np.dtype([("cgroup_id", "u8"), ("slot", "u8"), ("mapping", "u8"), ("path", "u1", (FILE_PATH_BYTES,))])
BLOCK_FILES = np.dtype([("mapping", "u8", (BLOCK_PAGES,))])
MAPPED_FILE = np.dtype(
    [("address", "u8"), ("mapping", "u8"), *((name, FILE_KEY[name]) for name in FILE_KEY.names or ())]
)
FILE_WALK = np.dtype([("next", "u8"), ("pages", "u8"), ("moved", "u8"), ("left", "u8"), ("links", "u8")])

COMM_BYTES = 16
NOTICE_ENDED, NOTICE_LIMIT, NOTICE_OOM = 1, 2, 3
NOTICE = np.dtype([("kind", "u4"), ("slot", "u4"), ("cgroup_id", "u8")])
LIMIT_NOTICE = np.dtype(
    [("kind", "u4"), ("slot", "u4"), ("cause", "u4"), ("pid", "u4"), ("comm", "u1", (COMM_BYTES,))],
)
OOM_NOTICE = np.dtype(
    [
        ("kind", "u4"),
        ("slot", "u4"),
        ("cgroup_id", "u8"),
        ("victim_pid", "u4"),
        ("trigger_pid", "u4"),
        ("trigger_cgroup_id", "u8"),
        ("victim_comm", "u1", (COMM_BYTES,)),
        ("trigger_comm", "u1", (COMM_BYTES,)),
    ]
)
