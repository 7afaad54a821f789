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
 * Page cache that nobody maps: compaction says which range it took pages from; when the migration is done, the cache
 * itself (an XArray) says where the page of that file and index is now.
 */

static __always_inline void note_move(u64 frame, u32 owner)
{
	u64 page = VMEMMAP_BASE + frame * PAGE_STRUCT_BYTES, head = read_u64(page + PAGE_COMPOUND_HEAD);
	u64 folio = head & 1 ? head - 1 : page, word = owner;
	struct move_key key = {
		read_u64(folio + PAGE_MAPPING),
		read_u64(folio + FOLIO_INDEX) + (page - folio) / PAGE_STRUCT_BYTES,
	};
	moves.update(&key, &word);
}

/* The word of the page that moved to a frame, 0 if none is known. */
static __always_inline u32 take_move(u64 frame)
{
	u64 page = VMEMMAP_BASE + frame * PAGE_STRUCT_BYTES, head = read_u64(page + PAGE_COMPOUND_HEAD);
	u64 folio = head & 1 ? head - 1 : page;
	struct move_key key = {
		read_u64(folio + PAGE_MAPPING),
		read_u64(folio + FOLIO_INDEX) + (page - folio) / PAGE_STRUCT_BYTES,
	};
	u64 *found = moves.lookup(&key);
	if (!found)
		return 0;
	u32 word = *found;
	moves.delete(&key);
	return word;
}

#ifdef HAVE_MIGRATION_EVENTS
static __always_inline int move_begins(u64 entry)
{
	u64 frame = MIGRATION_ENTRY_FRAME(entry);
	u32 index = frame >> 9;
	struct block *block = owners.lookup(&index);
	u32 word = block ? block->word[frame & (BLOCK_PAGES - 1)] : 0;
	if (word)
		note_move(frame, word);
	return 0;
}

/* The words of the old frames are left: they are uncounted when those are freed, a moment from now. */
static __always_inline int move_ends(u64 entry, u32 pages)
{
	u64 frame = ENTRY_FRAME(entry);
	u32 index = frame >> 9, first = frame & (BLOCK_PAGES - 1), word = take_move(frame), other;
	struct block *block = owners.lookup(&index);
	if (!block || !word)
		return 0;
	u32 was = block->word[first];
	if (was == word) /* it came back: the move failed */
		return 0;
	u64 changed = change_words(block, first, pages, was, word, &other);
	adjust_and_publish(word, changed);
	if (was)
		adjust_and_publish(was, -(s64)changed);
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
#define TAKEN_PAGES 32 /* COMPACT_CLUSTER_MAX */

struct taken_page {
	u64 mapping;
	u64 index;
	u64 word;
	u64 folio; /* where it is after the move */
	u64 was;   /* the word there until then */
	u64 changed;
};

/* Page-cache pages that a thread is about to move. */
struct taken {
	u64 length;
	u64 next;
	struct taken_page page[TAKEN_PAGES];
};
BPF_TABLE("array", u32, struct taken, no_pages, 1);
BPF_TABLE("lru_hash", u32, struct taken, taken, 256);

static __always_inline void take_page(struct taken *list, u64 page, u32 word)
{
	struct taken_page *entry = &list->page[list->length++ & (TAKEN_PAGES - 1)];
	entry->mapping = read_u64(page + PAGE_MAPPING);
	entry->index = read_u64(page + FOLIO_INDEX);
	entry->word = word;
}

/* A range within one pageblock; what was taken from it is off the LRU lists now. */
RAW_TRACEPOINT_PROBE(mm_compaction_isolate_migratepages)
{
	u64 start = ctx->args[0];
	u32 index = start >> 9, first = start & (BLOCK_PAGES - 1), frames = ctx->args[1] - start;
	u32 thread = bpf_get_current_pid_tgid(), zero = 0;
	struct block *block = owners.lookup(&index);
	struct taken *list = taken.lookup(&thread), *empty = no_pages.lookup(&zero);
	if (!block || !ctx->args[3] || !empty)
		return 0;
	if (!list) {
		taken.update(&thread, empty);
		list = taken.lookup(&thread);
		if (!list)
			return 0;
	}
	list->length = 0;
	for (u32 i = 0; i < BLOCK_PAGES && i < frames; i++) {
		u32 at = (first + i) & (BLOCK_PAGES - 1), word = block->word[at];
		if (!(word & (OWNER_FILE | OWNER_SHMEM)))
			continue;
		u64 page = VMEMMAP_BASE + (start - first + at) * PAGE_STRUCT_BYTES;
		if (read_u64(page + PAGE_FLAGS) & (1ull << PG_LRU) || read_u64(page + PAGE_COMPOUND_HEAD) & 1)
			continue;
		take_page(list, page, word);
	}
	return 0;
}

/* The folio that a file has at an index now (lib/xarray.c, xas_load()); 0 if there is none. */
static __always_inline u64 cached_folio(u64 mapping, u64 index)
{
	u64 entry = read_u64(mapping + MAPPING_PAGES + XARRAY_HEAD);
	for (int i = 0; i < 12 && (entry & 3) == 2 && entry > 4096; i++) {
		u64 node = entry - 2, slot = (index >> read_u8(node + XA_NODE_SHIFT)) & 63;
		entry = read_u64(node + XA_NODE_SLOTS + slot * 8);
		if ((entry & 3) == 2 && entry < 256) /* part of a large folio: it stands at an earlier slot */
			entry = read_u64(node + XA_NODE_SLOTS + ((entry >> 2) & 63) * 8);
	}
	return entry & 3 ? 0 : entry;
}

/* Find where a page is now; false if it is not in the cache any more or has its owner already. */
static __always_inline bool find_page(struct taken_page *page)
{
	u64 folio = cached_folio(page->mapping, page->index);
	page->folio = folio;
	return folio && read_u64(folio + PAGE_MAPPING) == page->mapping && word_at(frame_of(folio)) != page->word;
}

/* Give the page its owner back; says what its word was until now, and how many pages it has. */
static __always_inline void claim_page(struct taken_page *page)
{
	u64 folio = page->folio, frame = frame_of(folio);
	page->was = word_at(frame);
	page->changed = retype(frame, folio_pages(folio), page->was, page->word);
}

/* One page a run; called by mm_migrate_pages, then by itself. What is found is kept in the map between the steps. */
int claim_moved(struct bpf_raw_tracepoint_args *ctx)
{
	u32 thread = bpf_get_current_pid_tgid();
	struct taken *list = taken.lookup(&thread);
	if (!list || list->next >= list->length || list->next >= TAKEN_PAGES)
		return 0;
	struct taken_page *page = &list->page[list->next++ & (TAKEN_PAGES - 1)];
	if (find_page(page)) {
		claim_page(page);
		adjust_and_publish(page->word, page->changed);
		if (page->was)
			adjust_and_publish(page->was, -(s64)page->changed);
	}
	page_programs.call(ctx, CLAIM);
	return 0;
}

RAW_TRACEPOINT_PROBE(mm_migrate_pages)
{
	u32 thread = bpf_get_current_pid_tgid();
	struct taken *list = taken.lookup(&thread);
	if (!list || !list->length)
		return 0;
	list->next = 0;
	page_programs.call(ctx, CLAIM);
	return 0;
}
#else
int claim_moved(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}
#endif
