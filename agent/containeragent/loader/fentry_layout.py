# SPDX-License-Identifier: Apache-2.0
"""What engine fentry takes from the running kernel besides kernel_layout.py, as C definitions for bpf/stat.c.

In: BTF. Out: C text, with the names of the functions that this kernel has for each hook.
"""

from __future__ import annotations

from containeragent.errors import Refused
from containeragent.host import functions
from containeragent.host.btf import Btf
from containeragent.loader.kernel_layout import required

_MEMBERS = {
    "TASK_MM": ("task_struct", "mm"),
    "MM_OWNER": ("mm_struct", "owner"),
    "VMA_MM": ("vm_area_struct", "vm_mm"),
    "MEMCG_CSS": ("mem_cgroup", "css"),
    "OBJ_CGROUP_MEMCG": ("obj_cgroup", "memcg"),
}
_STATISTICS = ("NR_ANON_MAPPED", "NR_FILE_PAGES", "NR_FILE_MAPPED", "NR_SHMEM", "NR_SHMEM_THPS", "NR_FILE_THPS")
_POINTER_BYTES = 8
# Which argument is the vm_area_struct, where it is not the second.
_VMA_ARGUMENT = {"folio_add_anon_rmap_ptes": 3}


def _required(name: str, value: int | None) -> int:
    return required(name, value, ", which engine fentry needs; use --engine tracepoint")


def definitions(btf: Btf) -> dict[str, int]:
    """Name -> value; offsets are bytes."""
    values = {
        name: _required(f"{struct}.{member}", btf.offset(struct, member)) for name, (struct, member) in _MEMBERS.items()
    }
    memcg_data = btf.offset("folio", "memcg_data")
    values["FOLIO_MEMCG_DATA"] = _required(
        "folio.memcg_data", btf.offset("page", "memcg_data") if memcg_data is None else memcg_data
    )
    subsystem = _required("memory_cgrp_id", btf.enumerator("cgroup_subsys_id", "memory_cgrp_id"))
    values["CSS_SET_MEMORY"] = _required("css_set.subsys", btf.offset("css_set", "subsys")) + subsystem * _POINTER_BYTES
    values["PAGE_MAPCOUNT"] = _required("page._mapcount", btf.offset("page", "_mapcount"))
    mapped = btf.offset("folio", "_nr_pages_mapped")  # since Linux v6.3; before, tails say it one by one
    if mapped is not None:
        values["FOLIO_MAPPED_PAGES"] = mapped
    for name in _STATISTICS:
        values[name] = _required(name, btf.enumerator("node_stat_item", name))
    return values


def header(btf: Btf) -> str:
    """The definitions as C."""
    hooks = functions.present(btf)
    missing = [hook for hook in functions.FUNCTIONS if hook not in hooks]
    if missing:
        raise Refused("ENOTSUP", f"this kernel's BTF has no function for {', '.join(missing)}; use --engine tracepoint")
    values = definitions(btf) | {"MORE_ANON_VMA": _VMA_ARGUMENT.get(hooks["MORE_ANON_HOOK"], 1)}
    lines = [f"#define {name} {value}" for name, value in (hooks | values).items()]
    return "\n".join(lines) + "\n"
