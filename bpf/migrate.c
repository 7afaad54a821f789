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

#ifdef HAVE_MIGRATION_EVENTS
/*
 * What was noted stays until it is evicted or noted anew: after a copy on write two pages have the same anon_vma and
 * index, and both may be moving.
 */
static __always_inline int move_begins(u64 entry)
{
	u64 frame = MIGRATION_ENTRY_FRAME(entry);
	u32 index = frame >> 9;
	struct block *block = owners.lookup(&index);
	u64 word = block ? block->word[frame & (BLOCK_PAGES - 1)] : 0;
	struct move_key key = move_key_of(frame);
	if (word)
		moves.update(&key, &word);
	else
		moves.delete(&key);
	return 0;
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
	u32 word = *noted, was = block->word[first];
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
#define TAKEN_FOLIOS 256 /* a power of two; COMPACT_CLUSTER_MAX pages are taken at a time, several times in a batch */
#define CLAIMED_AT_ONCE 32

/* A folio of page cache that a thread is about to move, and how far it was found again. A large one may be split. */
struct taken_folio {
	u64 mapping;
	u64 index;
	u64 pages;
	u64 word;
	u64 done; /* pages looked for */
};

/* What is found is kept here, in a map, so that the verifier forgets how it was found. */
struct taken {
	u64 length;
	u64 next;
	u64 word;    /* what this step gives back */
	u64 changed; /* and to how many pages */
	u64 found;
	u64 large;
	struct taken_folio folio[TAKEN_FOLIOS];
};
BPF_TABLE("array", u32, struct taken, nothing_taken, 1);
BPF_TABLE("lru_hash", u32, struct taken, taken, 64);

static __always_inline void take_folio(struct taken *list, u64 page, u32 word)
{
	struct taken_folio *folio = &list->folio[list->length++ & (TAKEN_FOLIOS - 1)];
	folio->mapping = read_u64(page + PAGE_MAPPING);
	folio->index = read_u64(page + FOLIO_INDEX);
	folio->pages = folio_pages(page);
	folio->word = word;
	folio->done = 0;
}

/* A range within one pageblock; what was taken from it is off the LRU lists now. */
RAW_TRACEPOINT_PROBE(mm_compaction_isolate_migratepages)
{
	u64 start = ctx->args[0];
	u32 index = start >> 9, first = start & (BLOCK_PAGES - 1), frames = ctx->args[1] - start;
	u32 thread = bpf_get_current_pid_tgid(), zero = 0;
	struct block *block = owners.lookup(&index);
	struct taken *list = taken.lookup(&thread), *empty = nothing_taken.lookup(&zero);
	if (!block || !ctx->args[3] || !empty)
		return 0;
	if (!list) {
		taken.update(&thread, empty);
		list = taken.lookup(&thread);
		if (!list)
			return 0;
	}
	for (u32 i = 0; i < BLOCK_PAGES && i < frames; i++) {
		u32 at = (first + i) & (BLOCK_PAGES - 1), word = block->word[at];
		if (!(word & (OWNER_FILE | OWNER_SHMEM)))
			continue;
		u64 page = VMEMMAP_BASE + (start - first + at) * PAGE_STRUCT_BYTES;
		if (read_u64(page + PAGE_FLAGS) & (1ull << PG_LRU) || read_u64(page + PAGE_COMPOUND_HEAD) & 1)
			continue;
		take_folio(list, page, word);
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

/* Give one page that moved its owner back; a large folio is only noted. */
static __always_inline void claim_page(struct taken *list, struct taken_folio *taken)
{
	list->word = taken->word;
	list->found = cached_folio(taken->mapping, taken->index + taken->done);
	taken->done++;
	u64 folio = *(volatile u64 *)&list->found;
	if (!folio || read_u64(folio + PAGE_MAPPING) != taken->mapping)
		return;
	if (read_u64(folio + PAGE_FLAGS) & (1ull << PG_HEAD)) {
		list->large = folio;
		return;
	}
	u64 frame = frame_of(folio);
	u32 was = word_at(frame);
	if (was == (u32)list->word || !retype(frame, 1, was, list->word))
		return;
	adjust(list->word, 1);
	adjust(was, -1); /* the ancestors' peaks are not told: only a page from another allocator has one */
	list->changed++;
}

static __always_inline void claim_large(struct taken *list, struct taken_folio *taken)
{
	u64 folio = list->large, frame = frame_of(folio);
	u32 pages = folio_pages(folio), was = word_at(frame);
	taken->done = read_u64(folio + FOLIO_INDEX) + pages - taken->index;
	if (was == (u32)list->word)
		return;
	list->found = retype(frame, pages, was, list->word);
	u64 changed = *(volatile u64 *)&list->found;
	adjust(list->word, changed);
	adjust(was, -(s64)changed);
	list->changed += changed;
}

/* Some pages a run; called by mm_migrate_pages, then by itself. A run ends early at a large folio or another owner. */
int claim_moved(struct bpf_raw_tracepoint_args *ctx)
{
	u32 thread = bpf_get_current_pid_tgid();
	struct taken *list = taken.lookup(&thread);
	if (!list)
		return 0;
	list->changed = 0;
	list->large = 0;
	for (int i = 0; i < CLAIMED_AT_ONCE; i++) {
		struct taken_folio *folio = &list->folio[list->next & (TAKEN_FOLIOS - 1)];
		if (list->next >= list->length || list->large || (list->changed && list->word != folio->word))
			break;
		claim_page(list, folio);
		if (folio->done >= folio->pages && !list->large)
			list->next++;
	}
	struct taken_folio *folio = &list->folio[list->next & (TAKEN_FOLIOS - 1)];
	if (list->large) {
		claim_large(list, folio);
		if (folio->done >= folio->pages)
			list->next++;
	}
	publish_pages(list->word & SLOT_MASK, list->changed);
	if (list->next < list->length)
		page_programs.call(ctx, CLAIM); /* as often as the kernel allows: 33 times */
	list->length = 0;
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
