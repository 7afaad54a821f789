/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages on the move (engine tracepoint): their owner word, by what the page is of; struct page has it before and after. */

struct move_key {
	u64 mapping; /* address_space or anon_vma */
	u64 index;
};

/*
 * So many that only what was never finished is evicted: a CPU may be at 512 pages at once (NR_MAX_BATCHED_MIGRATION of
 * mm/migrate.c), and keeps up to 128 free entries to itself (LOCAL_FREE_TARGET of kernel/bpf/bpf_lru_list.h).
 */
#define MOVING (CPUS > 8 ? CPUS * 1024 : 8192)
KEPT_TABLE("lru_hash", struct move_key, u64, moves, MOVING, 0);
KEPT_TABLE("lru_hash", struct move_key, u64, taken, MOVING, 0); /* the same of page cache that nobody maps */

/* What the page of a frame is of: before and after a move the same. */
static __always_inline struct move_key move_key_of(u64 frame)
{
	u64 page = VMEMMAP_BASE + frame * PAGE_STRUCT_BYTES, head = read_u64(page + PAGE_COMPOUND_HEAD);
	u64 folio = head & 1 ? head - 1 : page;
	struct move_key key = {
		read_u64(folio + PAGE_MAPPING),
		read_u64(folio + FOLIO_INDEX) + (page - folio) / PAGE_STRUCT_BYTES,
	};
	return key;
}

/* A word that was noted a while ago: its slot may have been given back since, and then its pages are its heir's. */
static __always_inline u32 noted_word(u32 word)
{
	u32 number = word & SLOT_MASK;
	struct slot *slot = slots.lookup(&number);
	if (!slot || slot->state == SLOT_LIVE || !slot->heir)
		return word;
	return (word & ~SLOT_MASK) | (slot->heir & SLOT_MASK);
}
