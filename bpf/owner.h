/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The owner word of every page frame: which slot it is charged to, and as what.
 *
 * One word for each page of a folio, so that splitting a folio needs no hook. A word that is not 0 is counted exactly
 * once, in the slot that it names. Words change by atomic exchange, so whoever takes one out also takes out its count.
 */

static __always_inline u64 frame_of(u64 page)
{
	return (page - VMEMMAP_BASE) / PAGE_STRUCT_BYTES;
}

static __always_inline struct block *block_of(u64 frame)
{
	u32 key = frame >> 9;
	struct block *block = owners.lookup(&key);
	if (!block)
		COUNT(pages_lost);
	return block;
}

/*
 * Loops over a folio count from a number that the verifier does not know, so that it sees the same state whichever
 * turn a loop ends at, and need not follow what comes after once for each.
 */
static __always_inline u64 count_from(void)
{
	return bpf_get_smp_processor_id();
}

/*
 * Atomic operations on 32 bits need an instruction set that bcc does not compile for, so words are exchanged in pairs.
 * A word that could not be changed still says what it is counted as, so nothing is lost by that.
 */
#define EXCHANGE_TRIES 4 /* more than one only for the case that somebody changes the neighbour at the same time */

static __always_inline u64 *pair_of(struct block *block, u32 index)
{
	return (u64 *)&block->word[index & (BLOCK_PAGES - 2)];
}

static __always_inline u64 twice(u32 word)
{
	return (u64)word << 32 | word;
}

/* Change a word from one value to another; false if it had yet another. */
static __always_inline bool change_word(struct block *block, u32 index, u32 from, u32 to)
{
	u64 *pair = pair_of(block, index), mask = index & 1 ? 0xffffffffull << 32 : 0xffffffffull; /* little-endian */
	for (int i = 0; i < EXCHANGE_TRIES; i++) {
		u64 seen = *(volatile u64 *)pair;
		if ((seen ^ twice(from)) & mask)
			return false;
		if (__sync_val_compare_and_swap(pair, seen, (seen & ~mask) | (twice(to) & mask)) == seen)
			return true;
	}
	return false;
}

/*
 * Change the words of a folio that have a certain value; says how many had it. Others, if there are any, are left and
 * one is shown: the agent is giving away the pages of a dead slot at this moment, pair by pair.
 */
static __always_inline u64 change_words(struct block *block, u32 first, u32 pages, u32 from, u32 to, u32 *other)
{
	if (pages == 1)
		return change_word(block, first, from, to);
	u64 start = count_from(), changed = start;
	OPAQUE(pages);
	for (u32 i = 0; i < BLOCK_PAGES && i < pages; i += 2) {
		u64 seen = __sync_val_compare_and_swap(pair_of(block, first + i), twice(from), twice(to));
		if (seen == twice(from))
			changed += 2;
		else if (seen)
			*other = seen;
	}
	return changed - start;
}

/* Pages of a folio, from its head. */
static __always_inline u32 folio_pages(u64 folio)
{
	if (!(read_u64(folio + PAGE_FLAGS) & (1ull << PG_HEAD)))
		return 1;
	return 1u << (read_u8(folio + FOLIO_ORDER) & 15);
}

/* The same of one whose first word is known. */
static __always_inline u32 pages_owned(u64 folio, u32 word)
{
	return word & OWNER_SINGLE ? 1 : folio_pages(folio);
}
