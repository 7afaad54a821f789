/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map that outlives the programs. Those that the agent reads without system calls can be mapped into its memory. */

/* While programs are replaced, KEPT_IN names the folder of pins whose maps the new ones go on with. */
#ifdef KEPT_IN
#define KEPT(kind, name) kind ":" KEPT_IN "/" #name
#else
#define KEPT(kind, name) kind
#endif
#define KEPT_TABLE(kind, key, value, name, entries, flags)                                                             \
	BPF_F_TABLE(KEPT(kind, name), key, value, name, entries, flags)
#define KEPT_QUEUE(name, value, entries) BPF_QUEUESTACK(KEPT("queue", name), name, value, entries, 0)

/* bcc's BPF_RINGBUF_OUTPUT, pinned. */
#define KEPT_RINGBUF(name, bytes)                                                                                      \
	struct name##_table_t {                                                                                        \
		int key;                                                                                               \
		u32 leaf;                                                                                              \
		int (*ringbuf_output)(void *, u64, u64);                                                               \
		void *(*ringbuf_reserve)(u64);                                                                         \
		void (*ringbuf_discard)(void *, u64);                                                                  \
		void (*ringbuf_submit)(void *, u64);                                                                   \
		u32 max_entries;                                                                                       \
	};                                                                                                             \
	__attribute__((section("maps/" KEPT("ringbuf", name)))) struct name##_table_t name = {.max_entries = (bytes)}

#define MMAPABLE (1 << 10)   /* BPF_F_MMAPABLE */
#define NO_PREALLOC (1 << 0) /* BPF_F_NO_PREALLOC */

KEPT_TABLE("array", u32, struct row, rows, SLOTS *CPUS, MMAPABLE); /* key: cpu * SLOTS + slot */
KEPT_TABLE("array", u32, struct group, groups, SLOTS, MMAPABLE);
KEPT_TABLE("array", u32, struct limit, limits, SLOTS, MMAPABLE);
KEPT_TABLE("array", u32, struct slot, slots, SLOTS, MMAPABLE);
KEPT_TABLE("array", u32, struct state, state, 1, MMAPABLE);
KEPT_TABLE("array", u32, struct block, owners, BLOCKS, MMAPABLE); /* key: page frame number >> 9 */

/* The authority on cgroup id -> slot, and a direct-mapped cache of it (common.h). */
KEPT_TABLE("hash", u64, u32, id_slots, SLOTS * 2, NO_PREALLOC); /* room for as many that share a slot */
KEPT_TABLE("array", u32, u64, id_cache, IDS_CACHED, 0);
KEPT_QUEUE(free_slots, u32, SLOTS); /* oldest first, so that a late event meets a slot that is still empty */

/* task_struct address -> slot | TASK_FORKED. By address, because exec in a thread changes its id. */
KEPT_TABLE("hash", u64, u64, task_slots, TASKS, NO_PREALLOC);
#define TASK_FORKED (1ull << 32)

/* Tasks that may start under a limit and have not yet, by task_struct address: the slot that they are reserved in. */
KEPT_TABLE("hash", u64, u64, starting, 16384, NO_PREALLOC);

/* The owner words that the loader seeds a block with, or expects there. */
KEPT_TABLE("array", u32, struct block, seed_words, 1, MMAPABLE);

/* The final records of removed cgroups, newest over oldest: managed ones, then others, that they never push out. */
KEPT_TABLE("array", u32, struct end, ends, 2 * ENDS, MMAPABLE);

/* Files that are charged to containers, and by the low bits of inode numbers which files may be among them. */
KEPT_TABLE("hash", struct file_key, struct file, files, FILES, NO_PREALLOC);
KEPT_TABLE("array", u32, u64, file_filter, FILTER_WORDS, MMAPABLE);

/* What the programs that the agent runs on files and page frames found. */
KEPT_TABLE("array", u32, struct mapped_file, mapped_file, 1, MMAPABLE);
KEPT_TABLE("array", u32, struct file_walk, file_walk, 1, MMAPABLE);
KEPT_TABLE("array", u32, struct block_files, block_files, 1, MMAPABLE);

/* What wakes the agent. */
KEPT_RINGBUF(notices, 65536);

/* What loaded these programs, as JSON: agent/containeragent/loader/stamp.py. */
struct stamp {
	char json[1024];
};
BPF_F_TABLE("array", u32, struct stamp, stamp, 1, MMAPABLE); /* not kept: it comes and goes with what it speaks of */
