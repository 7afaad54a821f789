/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages by the kernel's own bookkeeping (engine fentry): every change of a page's share of memory.stat goes through one
 * function. An owner word has only the slot here. A page's word is set whenever the page begins to count as something,
 * so the words of free frames, and of pages that count as nothing, may be stale.
 *
 * The kernel says who pays: the page's memory cgroup. Where that is also the memory cgroup of the task at work, the
 * task's own cgroup pays, which may be below it, without the memory controller.
 */

#define PASTE(first, second) first##second
#define HOOK(function) PASTE(kfunc__, function)

/*
 * While programs are replaced both versions are called for each event, and only the one whose turn it is on that CPU
 * counts it (agent/containeragent/turn.py).
 */
KEPT_TABLE("array", u32, u32, turns, CPUS, 0);

static __always_inline bool is_our_turn(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	u32 *turn = turns.lookup(&cpu);
	return turn && *turn == TURN;
}

int take_turn(struct bpf_raw_tracepoint_args *ctx)
{
	u32 cpu = bpf_get_smp_processor_id(), turn = TURN;
	turns.update(&cpu, &turn);
	return 0;
}

/*
 * A member of what an argument of the hooked function, or the current task, points to: one instruction, where reading
 * the kernel by a plain number takes a call. The verifier knows the types. In assembler, because bcc and the compiler
 * would rearrange what it must see.
 */
#define MEMBER(pointer, offset)                                                                                        \
	({                                                                                                             \
		u64 _member;                                                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(_member) : "r"((u64)(pointer)), "i"(offset));             \
		_member;                                                                                               \
	})

/* An argument of the hooked function as a plain number. */
static __always_inline u64 argument(u64 *ctx, u32 at)
{
	u64 value = 0;
	bpf_get_func_arg(ctx, at, &value);
	return value;
}

static __always_inline u64 head_of(u64 page)
{
	u64 head = read_u64(page + PAGE_COMPOUND_HEAD);
	return head & 1 ? head - 1 : page;
}

static __always_inline void set_words(u64 frame, u32 pages, u32 word)
{
	struct block *block = block_of(frame);
	u32 first = frame & (BLOCK_PAGES - 1);
	if (!block)
		return;
	if (pages == 1) {
		block->word[first] = word;
		return;
	}
	OPAQUE(pages);
	for (u32 i = 0; i < BLOCK_PAGES && i < pages; i += 2)
		*pair_of(block, first + i) = twice(word);
}

/* Of a page's word, what stays: whose it is, and if that is because of its file. */
#define LASTING_WORD (SLOT_MASK | OWNER_BY_FILE)

/* The word of a page. A seeded page is one like others from now on: what its words say of it is out of date. */
static __always_inline u32 word_of_page(u64 page)
{
	u64 frame = frame_of(page);
	struct block *block = block_of(frame);
	u32 word = block ? block->word[frame & (BLOCK_PAGES - 1)] : SLOT_NONE, lasting = word & LASTING_WORD;
	if (word & OWNER_SEEDED) {
		u64 folio = head_of(page);
		set_words(frame_of(folio), folio_pages(folio), lasting);
	}
	return lasting;
}

/* include/linux/memcontrol.h: memcg_data of a page that the kernel uses itself names an obj_cgroup. */
#define MEMCG_DATA_KMEM 2
#define MEMCG_DATA_FLAGS 7

static __always_inline u64 memcg_of(u64 memcg_data)
{
	u64 address = memcg_data & ~(u64)MEMCG_DATA_FLAGS;
	return memcg_data & MEMCG_DATA_KMEM ? read_u64(address + OBJ_CGROUP_MEMCG) : address;
}

#define REMOVED_LEVELS 8

/* The slot of a memory cgroup, or of the nearest ancestor that is not removed; none where it is on a v1 hierarchy. */
static __always_inline u32 slot_of_memcg(u64 memcg)
{
	u64 cgroup = read_u64(memcg + MEMCG_CSS + CSS_CGROUP);
	if (read_u32(read_u64(cgroup + CGROUP_ROOT) + CGROUP_ROOT_HIERARCHY_ID))
		return SLOT_NONE;
	for (int i = 0; i < REMOVED_LEVELS; i++) {
		u64 id = cgroup_id(cgroup);
		u32 *slot = id_slots.lookup(&id);
		if (slot)
			return *slot & SLOT_MASK;
		cgroup = read_u64(read_u64(cgroup + CGROUP_SELF + CSS_PARENT) + CSS_CGROUP);
	}
	return SLOT_ROOT;
}

/* Who pays for a page of this memory cgroup (0: none, where that controller is off) that is there for a task. */
static __always_inline u32 payer(u64 memcg, u64 css_of_task, u32 slot_of_task)
{
	u32 slot = memcg && memcg + MEMCG_CSS != css_of_task ? slot_of_memcg(memcg) : SLOT_NONE;
	return slot ? slot : slot_of_task;
}

static __always_inline u32 payer_for_current(u64 memcg)
{
	struct task_struct *task = bpf_get_current_task_btf();
	return payer(memcg, MEMBER(MEMBER(task, TASK_CGROUPS), CSS_SET_MEMORY), current_slot());
}

/* For a page of a process that others read or write (khugepaged, swapoff, ptrace). */
static __always_inline u32 payer_for_other(u64 memcg, u64 mm)
{
	u64 task = read_u64(mm + MM_OWNER);
	if (!task)
		return payer_for_current(memcg);
	return payer(memcg, read_u64(read_u64(task + TASK_CGROUPS) + CSS_SET_MEMORY), slot_of_id(task_cgroup_id(task)));
}

static __always_inline void own_anon(u64 folio, u32 pages, u64 memcg_data, u64 mm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 memcg = memcg_of(memcg_data);
	u32 slot = mm == MEMBER(task, TASK_MM) ? payer_for_current(memcg) : payer_for_other(memcg, mm);
	set_words(frame_of(folio), pages, slot);
}

/* A new anonymous page. */
int HOOK(NEW_ANON_HOOK)(u64 *ctx)
{
	u64 folio = argument(ctx, 0);
	bool large = MEMBER(ctx[0], PAGE_FLAGS) & (1ull << PG_HEAD);
	u32 pages = large ? folio_pages(folio) : 1;
	own_anon(folio, pages, MEMBER(ctx[0], FOLIO_MEMCG_DATA), MEMBER(ctx[1], VMA_MM));
	return 0;
}

/*
 * An anonymous page that is mapped once more. It may be new all the same: from swap, before Linux kernel commit
 * 9ae2feacedde ("mm: use folio_add_new_anon_rmap() if folio_test_anon(folio)==false") (in v6.11).
 */
int HOOK(MORE_ANON_HOOK)(u64 *ctx)
{
	u64 folio = head_of(argument(ctx, 0));
	if (!(read_u64(folio + PAGE_MAPPING) & 1))
		own_anon(folio, folio_pages(folio), read_u64(folio + FOLIO_MEMCG_DATA),
			 read_u64(argument(ctx, MORE_ANON_VMA) + VMA_MM));
	return 0;
}

/* A page that moves to another frame. */
int HOOK(MIGRATE_HOOK)(u64 *ctx)
{
	u64 old = argument(ctx, 0);
	set_words(frame_of(argument(ctx, 1)), folio_pages(old), word_of_page(old));
	return 0;
}

/* What the mapping of a page in the page cache is above: neither nothing nor the poison in tails of a folio. */
#define KERNEL_ADDRESSES (1ull << 63)

/* Pages of the kernel that a driver maps into a process are not in the page cache before. */
static __always_inline void own_if_not_cached(u64 page)
{
	u64 folio = head_of(page), memcg;
	if (read_u64(folio + PAGE_MAPPING))
		return;
	memcg = memcg_of(read_u64(folio + FOLIO_MEMCG_DATA));
	u32 slot = memcg ? payer_for_current(memcg) : SLOT_NONE;
	set_words(frame_of(folio), folio_pages(folio), slot);
}

/* Sums that memory.stat's anon and file are made of: each direction has its column, and the ancestors hear of it. */
static __always_inline void count(struct row *row, u32 slot, u32 item, s64 pages)
{
	bool anon = item == NR_ANON_MAPPED, more = pages > 0;
	s64 *column = more ? (anon ? &row->alloc_anon : &row->add_file) : (anon ? &row->free_anon : &row->delete_file);
	s64 old = *column, new = old + (more ? pages : -pages);
	*column = new;
	publish_column(slot, old, new, more ? 1 : -1);
}

/* Of a page that comes into the page cache. */
static __always_inline u32 word_of_cached(u64 mapping, u64 memcg_data)
{
	u32 charged = file_slot(mapping);
	return charged ? charged | OWNER_BY_FILE : payer_for_current(memcg_of(memcg_data));
}

/* Callers cannot be preempted, and none that is counted runs in an interrupt, so that rows take plain additions. */
int HOOK(STAT_HOOK)(u64 *ctx)
{
	u32 item = ctx[1];
	s64 pages = (s32)ctx[2];
	bool huge = item == NR_SHMEM_THPS || item == NR_FILE_THPS;
	if (item != NR_ANON_MAPPED && item != NR_FILE_PAGES && item != NR_FILE_MAPPED && item != NR_SHMEM && !huge)
		return 0;
	if (!is_our_turn())
		return 0;
	u64 page = argument(ctx, 0);
	/* khugepaged exchanges page cache for a huge page without counting it: then only that it is huge is said of it */
	if (pages > 0 && (item == NR_FILE_PAGES || huge))
		set_words(frame_of(page), pages,
			  word_of_cached(MEMBER(ctx[0], PAGE_MAPPING), MEMBER(ctx[0], FOLIO_MEMCG_DATA)));
	else if (pages > 0 && item == NR_FILE_MAPPED && MEMBER(ctx[0], PAGE_MAPPING) < KERNEL_ADDRESSES)
		own_if_not_cached(page);
	u32 word = word_of_page(page), slot = word & SLOT_MASK;
	if (pages < 0 && item == NR_FILE_PAGES && word & OWNER_BY_FILE)
		file_page_goes(MEMBER(ctx[0], PAGE_MAPPING));
	struct row *row = slot && !huge ? row_of(slot) : NULL;
	if (!row)
		return 0;
	if (item == NR_FILE_MAPPED)
		row->mapped += pages;
	else if (item == NR_SHMEM)
		row->shmem += pages;
	else
		count(row, slot, item, pages);
	return 0;
}

/* Words of pages that count as nothing at the moment, in swap or on the move, may still name a slot. */
static __always_inline bool named_by_no_word(u32 slot)
{
	return !ever_counted(slot);
}

/* As what a seeded page is counted, and what its word becomes when it is confirmed. */
#define COUNTED(wanted) (wanted)
#define CONFIRMED(counted) ((counted)&SLOT_MASK)
