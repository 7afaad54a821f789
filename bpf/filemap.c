/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages of files: into the page cache and out of it, tmpfs by its way onto the LRU. */

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

/* A page that counts as `word` comes to a file that is charged to a slot, whoever touches it. */
static __always_inline void charge_to_file(u64 frame, u32 pages, u32 word, u32 to)
{
	u64 turned = retype(frame, pages, word, to);
	if (word)
		take_and_publish(word, turned);
	adjust_and_publish(to, turned);
}

/* Neither of both who come here runs in an interrupt, so the one never finds the other half done. */
static __always_inline void turn_from_anon(u32 word, u64 pages)
{
	struct row *row = row_of(word);
	if (!row)
		return;
	row->add_from_anon += pages;
	if (word & OWNER_SHMEM)
		row->shmem += pages;
}

RAW_TRACEPOINT_PROBE(mm_filemap_add_to_page_cache)
{
	u64 folio = ctx->args[0], frame = frame_of(folio);
	u32 word = word_at(frame);
	u32 pages = pages_owned(folio, word);
	if (word & (OWNER_FILE | OWNER_SHMEM) || (!word && pages >= BLOCK_PAGES)) /* the latter: hugetlbfs */
		return 0;
	/* Not movable, so not counted yet (block devices, some file systems): whoever reads it pays. */
	u32 charged = any_file() ? find_file_slot(read_u64(folio + PAGE_MAPPING)) : SLOT_NONE;
	if (charged) {
		charge_to_file(frame, pages, word, charged | OWNER_FILE | OWNER_BY_FILE);
		return 0;
	}
	u32 slot = word ? word & SLOT_MASK : current_slot();
	u32 to = slot | OWNER_FILE | (word & OWNER_SINGLE);
	u64 turned = retype(frame, pages, word, to);
	if (word & OWNER_ANON) {
		turn_from_anon(to, turned);
		return 0;
	}
	struct row *row = row_of(slot);
	if (!row)
		return 0;
	if (word)
		adjust(word, -(s64)turned);
	s64 old = row->add_file;
	row->add_file = old + turned;
	publish_column(slot, old, old + turned, 1);
	return 0;
}

RAW_TRACEPOINT_PROBE(mm_filemap_delete_from_page_cache)
{
	u64 folio = ctx->args[0], frame = frame_of(folio);
	u32 word = word_at(frame);
	bool counted = word & (OWNER_FILE | OWNER_SHMEM) && !(word & OWNER_ANON);
	if (counted ? word & OWNER_BY_FILE : any_file()) /* not counted: tmpfs on its way to an LRU list */
		file_page_goes(read_u64(folio + PAGE_MAPPING));
	if (!counted)
		return 0;
	u64 turned = retype(frame, pages_owned(folio, word), word, 0);
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
 * tmpfs and shared memory have no tracepoint of their own on the way into the cache, and compaction moves page cache
 * to frames that it takes from the free lists silently. Both show when the folio is put on an LRU list.
 */
static __always_inline void arrived(u64 frame, u32 pages)
{
	struct move_key key = move_key_of(frame);
	u64 *noted = taken.lookup(&key);
	if (!noted) {
		COUNT(pages_unclaimed);
		return;
	}
	u32 word = noted_word(*noted);
	adjust_and_publish(word, retype(frame, pages, 0, word));
	taken.delete(&key);
}

RAW_TRACEPOINT_PROBE(mm_lru_insertion)
{
	u64 folio = ctx->args[0], frame = frame_of(folio);
	u32 word = word_at(frame);
	if (word & (OWNER_FILE | OWNER_SHMEM | OWNER_ZEROED))
		return 0;
	u64 mapping = read_u64(folio + PAGE_MAPPING);
	if (!mapping || (mapping & 3)) /* low bits: anonymous, KSM, movable kernel pages */
		return 0;
	if (!word) {
		arrived(frame, folio_pages(folio));
		return 0;
	}
	bool shmem = read_u64(folio + PAGE_FLAGS) & (1ull << PG_SWAPBACKED);
	u32 type = shmem ? OWNER_SHMEM : OWNER_FILE, charged = file_slot(mapping), pages = pages_owned(folio, word);
	if (charged) {
		charge_to_file(frame, pages, word, charged | type | OWNER_BY_FILE);
		return 0;
	}
	u32 to = (word & (SLOT_MASK | OWNER_SINGLE)) | type;
	u64 turned = retype(frame, pages, word, to);
	if (word & OWNER_ANON) {
		turn_from_anon(to, turned);
		return 0;
	}
	adjust(word, -(s64)turned);
	adjust(to, turned);
	if (!(word & OWNER_TYPE))
		publish_pages(to & SLOT_MASK, turned);
	return 0;
}
