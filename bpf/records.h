/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records that the BPF programs and the agent share. The agent's twin of this file is
 * agent/containeragent/counters/records.py; a unit test compares the two field by field.
 *
 * LAYOUT changes whenever the meaning or the place of anything here changes: pins of another layout are never read.
 *
 * SLOTS     number of container slots (a slot is what the kernel side knows a container by)
 * CPUS      number of possible CPUs
 * BLOCKS    number of owner blocks: (highest page frame number >> 9) + 1
 * IDS_CACHED entries of the map id_cache: a power of two, 65536 or more
 */
#define LAYOUT 9

#define SLOT_NONE 0 /* an owner word of an untracked page */
#define SLOT_ROOT 1 /* the root of the cgroup2 hierarchy */
#define SLOT_BITS 20
#define SLOT_MASK 0xfffffu

#define MAX_DEPTH 64 /* levels that totals and peaks are carried up */
#define PEAK_TRIES (CPUS > 2 ? 12 : CPUS + 1)
#define BATCH 64 /* pages that a CPU keeps to itself before it tells the ancestors */

/*
 * What a page is counted as, above the slot in its owner word (engine tracepoint; of fentry, while it is seeded: later it
 * has OWNER_BY_FILE at most, and while a page waits for its file's slot what charge_stat.c says).
 */
#define OWNER_SEEDED 0x100000u	/* entered at load; gone with the first event on the page, or when it is confirmed */
#define OWNER_BY_FILE 0x200000u /* page cache of a file that is charged to this slot, whoever touches it (files.h) */
#define OWNER_ZEROED 0x400000u	/* allocated zeroed: anonymous for good, page cache and tmpfs clear pages themselves */
#define OWNER_STALE 0x800000u	/* of a frame that was free twice: taken out if it is once more (stale.c) */
#define OWNER_ANON 0x1000000u
#define OWNER_FILE 0x2000000u
#define OWNER_SHMEM 0x4000000u
#define OWNER_TYPE (OWNER_ANON | OWNER_FILE | OWNER_SHMEM)
#define OWNER_MAPPED 0x8000000u	 /* with a type: page cache that is mapped; alone: the kernel's, which programs map */
#define OWNER_SINGLE 0x10000000u /* allocated as one page: nobody needs to ask struct page how large its folio is */

#define BLOCK_PAGES 512

struct block {
	u32 word[BLOCK_PAGES];
};

/*
 * One row a CPU and slot. Every column is written by one program only, or by two that do not run in interrupts, and a
 * program never interrupts itself on a CPU, so plain additions lose nothing even when an interrupt frees pages
 * (`freeing` is for programs that are being replaced). The adjust_ columns are shared by the rare programs and take
 * atomic additions. What columns mean in each engine:
 */
struct row {
	s64 alloc_anon;	   /* mm_page_alloc, NR_ANON_MAPPED: + anon */
	s64 free_anon;	   /* mm_page_free, NR_ANON_MAPPED: - anon */
	s64 free_file;	   /* mm_page_free: - file, shmem among them */
	s64 add_file;	   /* mm_filemap_add_to_page_cache of pages that nobody had, NR_FILE_PAGES: + file */
	s64 add_from_anon; /* mm_filemap_add_to_page_cache, mm_lru_insertion: anon that became file */
	s64 delete_file;   /* mm_filemap_delete_from_page_cache, NR_FILE_PAGES: - file, shmem among them */
	s64 free_shmem;	   /* mm_page_free: - shmem */
	s64 freeing;	   /* 1 while mm_page_free is at work on this row: pages.c */
	s64 adjust_anon;   /* migration, collapse, seeding, inheritance, repair */
	s64 adjust_file;
	s64 adjust_shmem;
	s64 adjust_mapped;
	s64 shmem;	  /* mm_lru_insertion, NR_SHMEM: + shmem */
	s64 mapped;	  /* NR_FILE_MAPPED */
	s64 inherited;	  /* slots whose heir this one was */
	s64 delete_shmem; /* mm_filemap_delete_from_page_cache: - shmem */
};

/*
 * One a slot, shared by all CPUs: one cache line. Totals and peaks cover the slot and everything below it. `tasks` and
 * `starting` are one word for the programs, so that a task goes from one to the other in one step.
 */
struct group {
	s32 tasks;
	s32 starting; /* tasks that may start under a limit and have not yet: deny.c */
	s64 tasks_peak;
	s64 forks;
	s64 exits;
	s64 pages;	/* anon + file, behind by at most BATCH - 1 pages a CPU and column */
	s64 pages_peak; /* highest value of pages */
	s32 tasks_local;
	u32 limited;  /* LIMITED_...: which limits of its own it has */
	u32 parent;   /* slot, 0 above the root */
	u32 children; /* slots that name this one as their parent */
};

#define NO_LIMIT 0x7fffffffffffffffll
#define LIMITED_TASKS 1u
#define LIMITED_PAGES 2u

/* Of a limit: to be told when it is hit; hit and not yet told; told, and quiet until the agent arms it again. */
enum limit_flag { LIMIT_ARMED, LIMIT_HIT, LIMIT_TOLD };

/* One a slot: limits over the slot and everything below it. They mean something where group.limited says so. */
struct limit {
	s64 task_limit;
	s64 page_limit;
	s64 page_stop;	     /* where reclaim has failed: 112.5 % of page_limit */
	u64 task_limit_hits; /* forks that were denied, or went beyond task_limit; task_limit set below what is used */
	u64 page_limit_hits; /* times that pages went from page_limit or less to more; page_limit set below what is used */
	u64 tasks_flag;	     /* limit_flag */
	u64 pages_flag;
	u64 stop_flag;
	s64 tasks_at_hit;
	s64 pages_at_hit;
	s64 stop_at_hit; /* pages at page_stop: it may be passed before the agent has looked at pages_at_hit */
};

enum slot_state { SLOT_FREE, SLOT_LIVE, SLOT_DEAD };

struct slot {
	u64 cgroup_id;
	u64 born_ns; /* CLOCK_MONOTONIC */
	u64 died_ns;
	u32 state;
	u32 level;
	u32 partial; /* existed before the programs did: pages from before are not known */
	u32 heir;    /* slot that the pages of a dead one go to while the agent sweeps, and late ones afterwards */
	u32 words;   /* owner words of a dead slot that a sweep has found, in pairs */
	u32 spare;
};

/* One for the whole host. */
struct state {
	u64 topology;	     /* changes with every slot taken or left */
	u64 dead_slots;	     /* slots whose cgroup is gone and whose pages are not */
	u64 slots_exhausted; /* cgroups that got no slot of their own */
	u64 tasks_lost;	     /* tasks that could not be entered, until the next scan of all tasks */
	u64 pages_lost;	     /* events on page frames beyond the owner map */
	u64 pages_unclaimed; /* page-cache pages of nobody (from before the load, or lost on a move) seen moving */
	u64 ends;	     /* managed cgroups that ended; the record of the n-th is ends[(n - 1) % ENDS] */
	u64 other_ends;	     /* other cgroups that ended; ends[ENDS + (n - 1) % ENDS] */
	u64 managed_root;    /* slot of the cgroup that holds the managed ones; the agent's, 0 until it says so */
	u64 notices_lost;    /* notices that found no room: nobody reads them, or not fast enough */
	u64 files;	     /* entries of the map `files`, or more; the agent's */
	u64 files_gone;	     /* entries taken out because the file is no more */
};

#define ENDS 1024 /* final records of managed cgroups that are kept, and as many of others: the newest */
#define END_REASON_BYTES 64
#define END_PATH_BYTES 320

/* What is left of a cgroup after it is removed. Written by the program on cgroup_rmdir, but for the reason. */
struct end {
	u64 sequence; /* of this end among its kind, from 1 on; 0 while the record is written */
	u64 cgroup_id;
	u64 born_ns; /* CLOCK_MONOTONIC; 0 if it was there before the programs were */
	u64 died_ns;
	s64 tasks_peak;
	s64 forks;
	s64 exits;
	s64 pages; /* still charged to it or to what was below it */
	s64 pages_peak;
	s64 anon; /* still charged to itself */
	s64 file;
	s64 shmem;
	u64 task_limit_hits;
	u64 page_limit_hits;
	u32 slot;
	u32 partial;
	u32 children;	/* slots below it that still have pages */
	u32 path_bytes; /* with the NUL at its end; 0 if it could not be read */
	u32 path_cut;	/* 1 if the path is longer than what is here */
	u32 spare;
	u8 reason[END_REASON_BYTES]; /* the agent's: why it ended */
	u8 path[END_PATH_BYTES];     /* under the root of the hierarchy */
};

/* What wakes the agent: a record in the ring `notices`, which begins with its kind. */
enum notice_kind { NOTICE_NONE, NOTICE_ENDED, NOTICE_LIMIT, NOTICE_OOM };

struct notice {
	u32 kind;
	u32 slot;
	u64 cgroup_id;
};

#define FILES 4096 /* files that can be charged to containers */
#define FILE_PATH_BYTES 1024
#define FILTER_WORDS 1024 /* 65536 bits */

/*
 * A file, whatever its name: inodes of the same number differ in their generation, which file systems give anew to each
 * (Documentation/filesystems/nfs/exporting.rst).
 */
struct file_key {
	u64 inode;
	u32 device; /* s_dev of the super block, as the kernel has it */
	u32 generation;
};

/* The container that it is charged to, as long as the slot is still that cgroup's. */
struct file {
	u64 cgroup_id;
	u64 slot;
	u64 mapping;		  /* address_space that the last page came to: inodes leave memory and come back */
	u8 path[FILE_PATH_BYTES]; /* as it was when the file was named, for people; ends with NUL */
};

/* The address_space of each page frame of a block that is of a file; 0 of others. */
struct block_files {
	u64 mapping[BLOCK_PAGES];
};

/* What an address of the process that asks is mapped to: files.c. */
struct mapped_file {
	u64 address; /* where the mapping begins; asked for */
	u64 mapping; /* 0: no file */
	u64 inode;
	u32 device;
	u32 generation;
};

/* What one run of walk_file came to. */
struct file_walk {
	u64 next;  /* index of the page to go on with; 0 at the end */
	u64 pages; /* cached */
	u64 moved; /* now charged to the slot */
	u64 left;  /* not yet */
	u64 links; /* names that the file has */
};

#define COMM_BYTES 16

enum limit_cause { CAUSE_CROSSED, CAUSE_DENIED, CAUSE_SET };

/* NOTICE_LIMIT: limits of a slot or of its ancestors were hit. The task is the one at work, also if for others. */
struct limit_notice {
	u32 kind;
	u32 slot;
	u32 cause; /* limit_cause */
	u32 pid;
	u8 comm[COMM_BYTES];
};

/* NOTICE_OOM: the kernel chose a task to kill, because another found no memory (tracepoint mark_victim). */
struct oom_notice {
	u32 kind;
	u32 slot; /* of the victim; 0 if it is not known */
	u64 cgroup_id;
	u32 victim_pid;
	u32 trigger_pid;
	u64 trigger_cgroup_id;
	u8 victim_comm[COMM_BYTES]; /* empty if it is not known */
	u8 trigger_comm[COMM_BYTES];
};
