# SPDX-License-Identifier: Apache-2.0
"""Tasks, anonymous pages and page cache of every cgroup, as one writes it with bcc from its examples.

Classic tracepoints and hashes. Arguments: pages to know at most, the folder of headers. Reads `on` and `off`.
"""

import sys

from bcc import BPF

TEXT = """
BPF_HASH(tasks, u64, s64);                                              // cgroup id -> tasks
BPF_TABLE("hash", u32, u64, task_cgroup, 65536);                        // thread id -> cgroup id
BPF_HASH(anon, u64, s64);
BPF_HASH(file, u64, s64);
BPF_F_TABLE("hash", u64, u64, owner, PAGES, 1);                         // page frame -> cgroup id, bit 63: page cache
#define IS_FILE (1ull << 63)
#define MOVABLE 0x08

TRACEPOINT_PROBE(sched, sched_process_fork) {
    u64 cgroup = bpf_get_current_cgroup_id();
    u32 child = args->child_pid;
    task_cgroup.update(&child, &cgroup);
    tasks.increment(cgroup);
    return 0;
}
TRACEPOINT_PROBE(sched, sched_process_exit) {
    u32 task = args->pid;
    u64 *cgroup = task_cgroup.lookup(&task);
    if (!cgroup)
        return 0;
    tasks.increment(*cgroup, -1);
    task_cgroup.delete(&task);
    return 0;
}
TRACEPOINT_PROBE(kmem, mm_page_alloc) {
    if (!(args->gfp_flags & MOVABLE))
        return 0;
    u64 cgroup = bpf_get_current_cgroup_id(), frame = args->pfn;
    owner.update(&frame, &cgroup);
    anon.increment(cgroup, 1 << args->order);
    return 0;
}
TRACEPOINT_PROBE(kmem, mm_page_free) {
    u64 frame = args->pfn, *found = owner.lookup(&frame);
    if (!found)
        return 0;
    u64 cgroup = *found & ~IS_FILE;
    if (*found & IS_FILE)
        file.increment(cgroup, -(1 << args->order));
    else
        anon.increment(cgroup, -(1 << args->order));
    owner.delete(&frame);
    return 0;
}
TRACEPOINT_PROBE(filemap, mm_filemap_add_to_page_cache) {
    u64 frame = args->pfn, *found = owner.lookup(&frame);
    if (!found || *found & IS_FILE)
        return 0;
    u64 cgroup = *found;
    *found |= IS_FILE;
    anon.increment(cgroup, -(1 << args->order));
    file.increment(cgroup, 1 << args->order);
    return 0;
}
TRACEPOINT_PROBE(filemap, mm_filemap_delete_from_page_cache) {
    u64 frame = args->pfn, *found = owner.lookup(&frame);
    if (!found)
        return 0;
    file.increment(*found & ~IS_FILE, -(1 << args->order));
    owner.delete(&frame);
    return 0;
}
"""
EVENTS = (
    "sched:sched_process_fork",
    "sched:sched_process_exit",
    "kmem:mm_page_alloc",
    "kmem:mm_page_free",
    "filemap:mm_filemap_add_to_page_cache",
    "filemap:mm_filemap_delete_from_page_cache",
)


def main(pages: str, headers: str) -> None:
    """Attach and detach as it is told."""
    flags = ["-w", f"-I{headers}", "-include", "linux/types.h", "-Ddev_t=unsigned"]
    bpf = BPF(text=TEXT.replace("PAGES", pages), cflags=flags)
    for event in EVENTS:  # bcc has attached them
        bpf.detach_tracepoint(event)
    for line in sys.stdin:
        for event in EVENTS:
            if line == "on\n":
                bpf.attach_tracepoint(tp=event, fn_name="tracepoint__" + event.replace(":", "__"))
            else:
                bpf.detach_tracepoint(event)
        print(line, end="", flush=True)


main(*sys.argv[1:])
