/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of files: into the page cache and out of it; tmpfs, which says nothing on its way in. */

/* Change the words of a folio; says how many pages changed. */
static __always_inline u64 retype(u64 frame, u32 pages, u32 from, u32 to)
{
	struct block *block = block_of(frame);
	u32 other;
	return block ? change_words(block, frame & (BLOCK_PAGES - 1), pages, from, to, &other) : 0;
}

static __always_inline u32 word_at(u64 frame)
{
	struct block *block = block_of(frame);
	return block ? block->word[frame & (BLOCK_PAGES - 1)] : OWNER_TYPE;
}

RAW_TRACEPOINT_PROBE(mm_filemap_add_to_page_cache)
{
	u64 folio = ctx->args[0], frame = frame_of(folio);
	u32 word = word_at(frame);
	u32 pages = folio_pages(folio);
	if (word & (OWNER_FILE | OWNER_SHMEM) || (!word && pages >= BLOCK_PAGES)) /* the latter: hugetlbfs */
		return 0;
	/* Not movable, so not counted yet (block devices, some file systems): whoever reads it pays. */
	u32 slot = word ? word & SLOT_MASK : current_slot();
	u64 turned = retype(frame, pages, word, slot | OWNER_FILE);
	struct row *row = row_of(slot);
	if (!row)
		return 0;
	if (word) {
		row->add_from_anon += turned;
	} else {
		s64 old = row->add_file;
		row->add_file = old + turned;
		publish_column(slot, old, old + turned, 1);
	}
	return 0;
}

RAW_TRACEPOINT_PROBE(mm_filemap_delete_from_page_cache)
{
	u64 folio = ctx->args[0], frame = frame_of(folio);
	u32 word = word_at(frame);
	if (!(word & (OWNER_FILE | OWNER_SHMEM)) || (word & OWNER_ANON))
		return 0;
	u64 turned = retype(frame, folio_pages(folio), word, 0);
	struct row *row = row_of(word);
	if (!row)
		return 0;
	s64 old = row->delete_file;
	row->delete_file = old + turned;
	if (word & OWNER_SHMEM)
		row->delete_shmem += turned;
	publish_column(word & SLOT_MASK, old, old + turned, -1);
	return 0;
}

/*
 * tmpfs and shared memory have no tracepoint on the way into the cache. Their pages are allocated like those of a copy
 * on write, not zeroed, so such pages are listed, and looked at a little later: by then struct page says what they are.
 */
BPF_PROG_ARRAY(page_programs, 2);
#define DECIDE_OWN 0
#define CLAIM 1

/* True when the list is full. */
static __always_inline bool list_undecided(u64 frame)
{
	u32 key = bpf_get_smp_processor_id();
	struct undecided *list = undecided.lookup(&key);
	if (!list)
		return false;
	u64 at = list->length;
	list->frame[at & (UNDECIDED_PAGES - 1)] = frame;
	list->length = at + 1;
	if (at + 1 < UNDECIDED_PAGES)
		return false;
	list->next = 0;
	list->kept = 0;
	return true;
}

/* True if it cannot be told yet. */
static __always_inline bool decide(u64 frame)
{
	u32 word = word_at(frame);
	if (!(word & OWNER_ANON) || (word & OWNER_ZEROED) || (word & OWNER_FILE))
		return false; /* it became page cache, or is free, or another page */
	u64 page = VMEMMAP_BASE + frame * PAGE_STRUCT_BYTES;
	u64 mapping = read_u64(page + PAGE_MAPPING);
	if (!mapping)
		return true;
	if (mapping & 3) /* anonymous, KSM, movable pages of drivers */
		return false;
	bool shmem = read_u64(page + PAGE_FLAGS) & (1ull << PG_SWAPBACKED);
	u32 to = (word & SLOT_MASK) | (shmem ? OWNER_SHMEM : OWNER_FILE);
	u64 turned = retype(frame, folio_pages(page), word, to);
	adjust(word, -(s64)turned);
	adjust(to, turned);
	return false;
}

/* One page a run, because a folio's words are a loop of their own; called by mm_page_alloc, then by itself. */
int decide_own(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = bpf_get_smp_processor_id();
	struct undecided *list = undecided.lookup(&key);
	if (!list)
		return 0;
	u64 frame = list->frame[list->next & (UNDECIDED_PAGES - 1)];
	if (decide(frame))
		list->frame[list->kept++ & (UNDECIDED_PAGES - 1)] = frame;
	if (++list->next < UNDECIDED_PAGES)
		page_programs.call(ctx, DECIDE_OWN);
	if (list->kept > UNDECIDED_PAGES / 2) { /* nobody uses them: do not look at them for ever */
		struct state *host = host_state();
		if (host)
			__sync_fetch_and_add(&host->pages_undecided, list->kept);
		list->kept = 0;
	}
	list->length = list->kept;
	return 0;
}

/* The agent's: look at the pages of one CPU's list and leave the list (arguments: cpu, the page to begin with). */
int decide_given(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0];
	struct undecided *list = undecided.lookup(&key);
	u64 at = ctx->args[1];
	if (list && at < UNDECIDED_PAGES && at < list->length)
		decide(list->frame[at & (UNDECIDED_PAGES - 1)]);
	return 0;
}
