/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that compaction and migration move. The kernel copies mapping and index from the old struct page to the new one,
 * and by them the owner finds its way: it is noted when a page is about to move and taken up where it arrives.
 *
 * Mapped pages: each mapping is replaced by a migration entry that names the old frame, and later by an entry of the new
 * frame. (The address would not do as a key: many processes are in one batch, and forked ones have the same addresses.)
 * Since Linux kernel commit 4cc79b3303f2 ("mm/migration: add trace events for base page and HugeTLB migrations")
 * (in v5.19).
 *
 * Page cache that nobody maps: compaction says which range it took pages from, and the page shows again when it is put
 * on an LRU list (filemap.c).
 */

#ifdef HAVE_MIGRATION_EVENTS
/*
 * Every mapping of a page begins and ends a move, so the upper half of an entry counts them: after a copy on write two
 * pages have the same anon_vma and index, and both may be moving, on two CPUs. They differ in how they were allocated,
 * so that is left out of what is noted. Entries are taken out with their last move, because a full table evicts what
 * nobody has looked up yet: the moves that have only begun.
 */
#define ONE_MAPPING (1ull << 32)
#define MOVING_WORD (OWNER_TYPE | SLOT_MASK | OWNER_BY_FILE)

static __always_inline int move_begins(u64 entry)
{
	u64 frame = MIGRATION_ENTRY_FRAME(entry);
	u32 index = frame >> 9;
	struct block *block = owners.lookup(&index);
	u64 word = block ? block->word[frame & (BLOCK_PAGES - 1)] & MOVING_WORD : 0;
	if (!word)
		return 0;
	struct move_key key = move_key_of(frame);
	u64 *noted = moves.lookup(&key), first = word | ONE_MAPPING;
	if (noted && (u32)*noted == word)
		__sync_fetch_and_add(noted, ONE_MAPPING);
	else
		moves.update(&key, &first);
	return 0;
}

/* The noted word, if a mapping of it is still on the move: a fork in between copies mappings that never began to move. */
static __always_inline u32 take_mapping(struct move_key *key, u64 *noted)
{
	for (int i = 0; i < EXCHANGE_TRIES; i++) {
		u64 seen = *(volatile u64 *)noted;
		if (seen < ONE_MAPPING)
			return 0;
		if (__sync_val_compare_and_swap(noted, seen, seen - ONE_MAPPING) != seen)
			continue;
		if (seen < 2 * ONE_MAPPING)
			moves.delete(key);
		return seen;
	}
	return *noted;
}

/* The words of the old frames are left: they are uncounted when those are freed, a moment from now. */
static __always_inline int move_ends(u64 entry, u32 pages)
{
	u64 frame = ENTRY_FRAME(entry);
	u32 index = frame >> 9, first = frame & (BLOCK_PAGES - 1), other;
	struct block *block = owners.lookup(&index);
	struct move_key key = move_key_of(frame);
	u64 *noted = moves.lookup(&key);
	if (!block || !noted)
		return 0;
	u32 word = take_mapping(&key, noted), was = block->word[first];
	if (!word)
		return 0;
	word = noted_word(word);
	if ((was & MOVING_WORD) == word) /* it came back: the move failed, or another mapping of it came first */
		return 0;
	u64 changed = change_words(block, first, pages, was, word, &other);
	adjust_and_publish(word, changed);
	if (was)
		take_and_publish(was, changed);
	return 0;
}

RAW_TRACEPOINT_PROBE(set_migration_pte)
{
	return move_begins(ctx->args[1]);
}

RAW_TRACEPOINT_PROBE(remove_migration_pte)
{
	return move_ends(ctx->args[1], 1);
}

RAW_TRACEPOINT_PROBE(set_migration_pmd)
{
	return move_begins(ctx->args[1]);
}

RAW_TRACEPOINT_PROBE(remove_migration_pmd)
{
	return move_ends(ctx->args[1], BLOCK_PAGES);
}
#endif

#ifdef HAVE_COMPACTION_EVENTS
static __always_inline void note_move(u64 frame, u32 owner)
{
	struct move_key key = move_key_of(frame);
	u64 word = owner;
	taken.update(&key, &word);
}

/* A range within one pageblock; what was taken from it is off the LRU lists now. */
RAW_TRACEPOINT_PROBE(mm_compaction_isolate_migratepages)
{
	u64 start = ctx->args[0];
	u32 index = start >> 9, first = start & (BLOCK_PAGES - 1), frames = ctx->args[1] - start;
	struct block *block = owners.lookup(&index);
	if (!block || !ctx->args[3])
		return 0;
	for (u32 i = 0; i < BLOCK_PAGES && i < frames; i++) {
		u32 at = (first + i) & (BLOCK_PAGES - 1), word = block->word[at];
		if (!(word & (OWNER_FILE | OWNER_SHMEM)))
			continue;
		u64 page = VMEMMAP_BASE + (start - first + at) * PAGE_STRUCT_BYTES;
		if (!(read_u64(page + PAGE_FLAGS) & (1ull << PG_LRU)))
			note_move(start - first + at, word);
	}
	return 0;
}
#endif
