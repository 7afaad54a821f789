/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that are allocated and freed. */

/*
 * Words of new pages that are still there belong to pages whose free was missed (an interrupt freed them inside another
 * free). Their count is mended here, without the ancestors' peaks. Taken out by exchange, as the agent may be just about
 * to take them out itself (stale.c): then the second try finds nothing.
 */
#define TAKE_TRIES 2

static __always_inline u64 take_pair(u64 *pair)
{
	for (int i = 0; i < TAKE_TRIES; i++) {
		u64 seen = *(volatile u64 *)pair;
		if (!seen || __sync_val_compare_and_swap(pair, seen, 0) == seen)
			return seen;
	}
	return 0;
}

static __always_inline void mend_words(struct block *block, u32 first, u32 pages)
{
	OPAQUE(pages);
	for (u32 i = 0; i < BLOCK_PAGES && i < pages; i += 2) {
		u64 stale = take_pair(pair_of(block, first + i));
		if (!stale)
			continue;
		adjust(stale, -1);
		adjust(stale >> 32, -1);
	}
}

/* Pages of an allocation, read anew for each loop, so that the verifier does not carry a bound from one to the next. */
static __always_inline u32 pages_allocated(struct bpf_raw_tracepoint_args *ctx)
{
	return 1u << (*(volatile u64 *)&ctx->args[1] & 15);
}

static __always_inline void fill_words(struct bpf_raw_tracepoint_args *ctx, struct block *block, u32 first, u32 word)
{
	u64 stale = 0;
	u32 pages = pages_allocated(ctx);
	for (u32 i = 0; i < BLOCK_PAGES && i < pages; i += 2)
		stale |= *pair_of(block, first + i);
	if (stale)
		mend_words(block, first, pages_allocated(ctx));
	pages = pages_allocated(ctx);
	for (u32 i = 0; i < BLOCK_PAGES && i < pages; i += 2)
		*pair_of(block, first + i) = twice(word);
}

static __always_inline void fill_word(struct block *block, u32 first, u32 word)
{
	u32 stale = block->word[first];
	for (int i = 0; stale && i < TAKE_TRIES; i++) {
		if (change_word(block, first, stale, word)) {
			take_and_publish(stale, 1);
			return;
		}
		stale = *(volatile u32 *)&block->word[first];
	}
	block->word[first] = word;
}

/*
 * Memory of programs is allocated movable and with GFP_HARDWALL (GFP_HIGHUSER_MOVABLE); zsmalloc's is movable only.
 * It is counted as anonymous at once. What it really becomes shows later (filemap.c).
 */
RAW_TRACEPOINT_PROBE(mm_page_alloc)
{
	u64 page = ctx->args[0];
	u32 order = ctx->args[1];
	u32 gfp = ctx->args[2];
	if ((gfp & GFP_USER_MOVABLE) != GFP_USER_MOVABLE || !page || order > 9)
		return 0;
	/* hugetlbfs fills its pool with pages that are nobody's; huge pages of programs and files are asked for lightly */
	if (order == 9 && !(gfp & GFP_LIGHT))
		return 0;
	u64 frame = frame_of(page);
	struct block *block = block_of(frame);
	if (!block)
		return 0;
	u32 slot = current_slot();
	struct row *row = row_of(slot);
	if (!row)
		return 0;
	u32 first = frame & (BLOCK_PAGES - 1);
	u32 word = slot | OWNER_ANON | (gfp & GFP_ZERO ? OWNER_ZEROED : 0) | (order ? 0 : OWNER_SINGLE);
	if (!order)
		fill_word(block, first, word);
	else
		fill_words(ctx, block, first, word);
	if (order == 9)
		note_huge_page(frame);
	s64 old = row->alloc_anon, new = old + pages_allocated(ctx);
	row->alloc_anon = new;
	publish_column(slot, old, new, 1);
	return 0;
}

/*
 * While programs are replaced there are two versions of this program, and an interrupt that the one is left out of is
 * counted by the other: perhaps on this row, between a column's reading and its writing. So it is told by `freeing`.
 */
static __always_inline void uncount_freed(u32 word, u64 pages)
{
	struct row *row = row_of(word);
	if (!row)
		return;
	volatile s64 *freeing = &row->freeing;
	if (!(word & OWNER_TYPE) || *freeing) {
		take_and_publish(word, pages);
		return;
	}
	*freeing = 1;
	volatile s64 *column = word & OWNER_ANON ? &row->free_anon : &row->free_file;
	s64 old = *column;
	*column = old + pages;
	if (word & OWNER_SHMEM)
		*(volatile s64 *)&row->free_shmem += pages;
	*freeing = 0;
	publish_column(word & SLOT_MASK, old, old + pages, -1);
}

/* Free: take the words out, then their count. */
RAW_TRACEPOINT_PROBE(mm_page_free)
{
	u64 frame = frame_of(ctx->args[0]);
	u32 order = ctx->args[1], key = frame >> 9, first = frame & (BLOCK_PAGES - 1);
	struct block *block = owners.lookup(&key);
	if (!block)
		return 0; /* its allocation was counted as lost */
	u32 word = *(volatile u32 *)&block->word[first], other = 0;
	if (!word)
		return 0; /* not tracked; a tracked folio has every page marked */
	u32 pages = order > 9 ? BLOCK_PAGES : 1u << order;
	uncount_freed(word, change_words(block, first, pages, word, 0, &other));
	if (pages == 1)
		other = *(volatile u32 *)&block->word[first]; /* it changed between the look and the taking */
	if (other)
		uncount_freed(other, change_words(block, first, pages, other, 0, &word));
	return 0;
}

/* Every word is counted, so a slot without a page has none. */
static __always_inline bool named_by_no_word(u32 slot)
{
	struct sums sums = sums_of(slot);
	return !(sums.anon + sums.file) && !sums.mapped;
}

/* As what a seeded page is counted: which page cache is mapped, no event tells afterwards. */
#define COUNTED(wanted) ((wanted) & ~(OWNER_MAPPED * !!((wanted)&OWNER_TYPE)))
#define CONFIRMED(counted) (counted)
