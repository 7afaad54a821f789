# SPDX-License-Identifier: Apache-2.0
"""The running kernel's layouts as C definitions, for bpf/*.c.

In: BTF. Out: the text that stands before the BPF sources. What a kernel does not have is either an error that names it
or a feature that is left out (HAVE_...).
"""

from __future__ import annotations

import functools
import platform

from containeragent.errors import Refused
from containeragent.host.btf import Btf

_MEMBERS = {
    "TASK_CGROUPS": ("task_struct", "cgroups"),
    "TASK_FLAGS": ("task_struct", "flags"),
    "TASK_SIGNAL": ("task_struct", "signal"),
    "TASK_THREAD_NODE": ("task_struct", "thread_node"),
    "TASK_GROUP_LEADER": ("task_struct", "group_leader"),
    "TASK_TASKS": ("task_struct", "tasks"),
    "TASK_TGID": ("task_struct", "tgid"),
    "TASK_COMM": ("task_struct", "comm"),
    "SIGNAL_THREAD_HEAD": ("signal_struct", "thread_head"),
    "CSS_SET_DFL_CGRP": ("css_set", "dfl_cgrp"),
    "CGROUP_KN": ("cgroup", "kn"),
    "CGROUP_ROOT": ("cgroup", "root"),
    "CGROUP_SELF": ("cgroup", "self"),
    "CGROUP_LEVEL": ("cgroup", "level"),
    "CGROUP_ROOT_HIERARCHY_ID": ("cgroup_root", "hierarchy_id"),
    "CSS_PARENT": ("cgroup_subsys_state", "parent"),
    "CSS_CGROUP": ("cgroup_subsys_state", "cgroup"),
    "KERNFS_NODE_ID": ("kernfs_node", "id"),
    "PAGE_FLAGS": ("page", "flags"),
    "PAGE_MAPPING": ("page", "mapping"),
    "PAGE_COMPOUND_HEAD": ("page", "compound_head"),
    "MAPPING_HOST": ("address_space", "host"),
    "INODE_NUMBER": ("inode", "i_ino"),
    "INODE_GENERATION": ("inode", "i_generation"),
    "INODE_LINKS": ("inode", "i_nlink"),
    "INODE_USERS": ("inode", "i_count"),
    "INODE_SUPER_BLOCK": ("inode", "i_sb"),
    "SUPER_BLOCK_DEVICE": ("super_block", "s_dev"),
    "VMA_START": ("vm_area_struct", "vm_start"),
    "VMA_FILE": ("vm_area_struct", "vm_file"),
    "FILE_MAPPING": ("file", "f_mapping"),
    "XARRAY_NODE_SHIFT": ("xa_node", "shift"),
    "XARRAY_NODE_SLOTS": ("xa_node", "slots"),
}

REQUIRED_TRACEPOINTS = (
    "cgroup_mkdir",
    "cgroup_rmdir",
    "cgroup_attach_task",
    "task_newtask",
    "sched_process_exit",
    "mm_page_alloc",
    "mm_page_free",
    "mm_filemap_add_to_page_cache",
    "mm_filemap_delete_from_page_cache",
    "mm_lru_insertion",
)
MIGRATION_TRACEPOINTS = (
    "set_migration_pte",
    "remove_migration_pte",
    "set_migration_pmd",
    "remove_migration_pmd",
)
COMPACTION_TRACEPOINT = "mm_compaction_isolate_migratepages"
OOM_TRACEPOINT = "mark_victim"
COLLAPSE_TRACEPOINT, FILE_COLLAPSE_TRACEPOINT = "mm_collapse_huge_page", "mm_khugepaged_collapse_file"

_PF_EXITING, _PF_KTHREAD = 0x4, 0x200000  # include/linux/sched.h, unchanged since 2.6 and 2.6.27


def missing_tracepoints(btf: Btf) -> list[str]:
    """Tracepoints without which nothing can be counted."""
    return [name for name in REQUIRED_TRACEPOINTS if not btf.has_tracepoint(name)]


def has_migration_events(btf: Btf) -> bool:
    """Whether moved pages can be followed; the entry format is decoded for x86-64 only."""
    return platform.machine() == "x86_64" and all(map(btf.has_tracepoint, MIGRATION_TRACEPOINTS))


def _gfp_bit(btf: Btf, name: str, before_enum: int) -> int:
    """A flag of an allocation: newer kernels have its bit as an enumerator, `before_enum` is its value on others."""
    bit = btf.anonymous_enumerator(f"___GFP_{name}_BIT")
    return before_enum if bit is None else 1 << bit


def _folio_order_offset(btf: Btf) -> int | None:
    """Byte that has a large folio's order: its own field until v6.5, then the low byte of the first tail's flags."""
    own = btf.offset("folio", "_folio_order")
    if own is not None:
        return own
    flags = btf.offset("folio", "_flags_1")
    if flags is not None:
        return flags
    order, page_bytes = btf.offset("page", "compound_order"), btf.size("page")
    return None if order is None or page_bytes is None else page_bytes + order


def required(name: str, value: int | None, hint: str = ": kernels from 5.15 on do; see `containerctl doctor`") -> int:
    """The value of what BTF must have; `hint` ends the line that says that it has not."""
    if value is None:
        raise Refused("ENOTSUP", f"this kernel's BTF has no {name}{hint}")
    return value


@functools.cache
def definitions(btf: Btf) -> dict[str, int]:
    """Name -> value of everything that the BPF sources take from the kernel. Offsets and sizes are bytes."""
    values = {
        name: required(f"{struct}.{member}", btf.offset(struct, member)) for name, (struct, member) in _MEMBERS.items()
    }
    values["MAPPING_PAGES"] = required("address_space.i_pages", btf.offset("address_space", "i_pages"))
    values["MAPPING_PAGES"] += required("xarray.xa_head", btf.offset("xarray", "xa_head"))
    values["PAGE_STRUCT_BYTES"] = required("struct page", btf.size("page"))
    values["FOLIO_ORDER"] = required("folio order", _folio_order_offset(btf))
    values["FOLIO_INDEX"] = required("folio.index", btf.offset("folio", "index") or btf.offset("page", "index"))
    values["PG_HEAD"] = required("PG_head", btf.enumerator("pageflags", "PG_head"))
    values["PG_LRU"] = required("PG_lru", btf.enumerator("pageflags", "PG_lru"))
    values["PG_SWAPBACKED"] = required("PG_swapbacked", btf.enumerator("pageflags", "PG_swapbacked"))
    values["GFP_USER_MOVABLE"] = _gfp_bit(btf, "MOVABLE", 0x8) | _gfp_bit(btf, "HARDWALL", 0x100000)
    values["GFP_LIGHT"] = _gfp_bit(btf, "NOMEMALLOC", 0x80000) | _gfp_bit(btf, "NORETRY", 0x10000)
    values["GFP_ZERO"] = _gfp_bit(btf, "ZERO", 0x100)
    values["PF_EXITING"] = _PF_EXITING
    values["PF_KTHREAD"] = _PF_KTHREAD
    return values


# arch/x86/include/asm/pgtable_64.h: a swap entry keeps its offset inverted, shifted up over type and flag bits.
_X86_MIGRATION = (
    "#define HAVE_MIGRATION_EVENTS 1\n"
    "#define MIGRATION_ENTRY_FRAME(e) (((~(e) << 5) >> 14) & ((1ull << 34) - 1))\n"
    "#define ENTRY_FRAME(e) (((e) >> 12) & ((1ull << 40) - 1))\n"
)
_NO_MIGRATION = "#define MIGRATION_ENTRY_FRAME(e) 0\n#define ENTRY_FRAME(e) 0\n"


def header(btf: Btf, **sizes: int) -> str:
    """The definitions as C, with the sizes that the loader chose (SLOTS, CPUS, ...)."""
    missing = missing_tracepoints(btf)
    if missing:
        raise Refused(
            "ENOTSUP",
            f"this kernel has no tracepoint {', '.join(missing)}: it cannot be counted with the tracepoint engine",
        )
    values = definitions(btf) | sizes
    lines = [
        f"#define {name} {value}ull" if value >> 31 else f"#define {name} {value}" for name, value in values.items()
    ]
    succeeded, owner = btf.enumerator("scan_result", "SCAN_SUCCEED"), btf.offset("mm_struct", "owner")
    if succeeded is not None and owner is not None and btf.has_tracepoint(COLLAPSE_TRACEPOINT):
        lines += [f"#define SCAN_SUCCEED {succeeded}", f"#define MM_OWNER {owner}", "#define HAVE_COLLAPSE_EVENT 1"]
        if btf.has_tracepoint(FILE_COLLAPSE_TRACEPOINT):
            lines.append("#define HAVE_FILE_COLLAPSE_EVENT 1")
    if btf.has_tracepoint(OOM_TRACEPOINT):
        lines.append("#define HAVE_OOM_EVENTS 1")
    if btf.has_tracepoint(COMPACTION_TRACEPOINT):
        lines.append("#define HAVE_COMPACTION_EVENTS 1")
    migration = _X86_MIGRATION if has_migration_events(btf) else _NO_MIGRATION
    return "#include <linux/types.h>\n" + "\n".join(lines) + "\n" + migration
