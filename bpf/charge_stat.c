/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Give cached pages of a file to a slot (engine fentry). What is counted of a page, the kernel says while it changes the
 * page, an instant before or after; so a page is moved only if nothing happens to it meanwhile:
 *
 *   mark   the word says that it waits, and how many pages are mapped. Every event on the page removes the mark.
 *   (the agent waits until everything that was under way in the kernel is done)
 *   move   if the mark is still there and as many are mapped, nothing is under way but what begins now, and that
 *          counts with the new slot.
 *
 * A large folio counts by the word of its head, as a whole.
 */
#define ENTIRELY_MAPPED 0x800000u /* mm/internal.h */
#define MARKED_SHIFT 24

struct charge {
	u64 mapping;
	u64 mark;
	u64 moved;
	u64 left;
	u64 mapped;
	u64 large; /* a large folio, one in a run */
	u64 large_mapped;
	u32 slot;
	u32 from;
	u32 type;
};
BPF_ARRAY(charges, struct charge, 1); /* not on the stack, where the verifier would follow every number */

static __always_inline u32 large_mapped(struct charge *charge, u64 folio)
{
#ifdef FOLIO_MAPPED_PAGES
	u32 pages = read_u32(folio + FOLIO_MAPPED_PAGES);
	return pages & ENTIRELY_MAPPED ? folio_pages(folio) : pages & (ENTIRELY_MAPPED - 1);
#else
	/* Always as many turns, and nothing to tell them apart: else the verifier follows what comes after once for each. */
	u64 pages = folio_pages(folio);
	charge->large_mapped = 0;
	for (u32 i = 0; i < BLOCK_PAGES; i++) {
		u64 to_end = i - pages, mapcount = read_u32(folio + i * PAGE_STRUCT_BYTES + PAGE_MAPCOUNT);
		OPAQUE(to_end);
		charge->large_mapped += to_end >> 63 & ~mapcount >> 31; /* none is -1 */
	}
	return charge->large_mapped;
#endif
}

static __always_inline u32 small_mapped(u64 folio)
{
	return (s32)read_u32(folio + PAGE_MAPCOUNT) >= 0;
}

/* Never 256 times the same: whole huge pages come and go at once. */
static __always_inline u32 marked(u32 word, u32 mapped)
{
	return (word & (SLOT_MASK | OWNER_BY_FILE)) | OWNER_SEEDED | mapped % 255 << MARKED_SHIFT;
}

/* Mark a folio, or move it; whether it was. */
static __always_inline bool charge_folio(struct charge *charge, u64 folio, u32 mapped)
{
	u64 frame = frame_of(folio);
	u64 key = (u32)(frame >> 9), first = frame & (BLOCK_PAGES - 1);
	struct block *block = owners.lookup((u32 *)&key);
	if (!block)
		return false;
	u32 word = *(volatile u32 *)&block->word[first], wanted = marked(word, mapped);
	if (charge->mark) {
		if (word == wanted)
			return false;
		if (change_word(block, first, word, wanted))
			return true;
		charge->left++;
		return false;
	}
	bool other = charge->moved && (word & SLOT_MASK) != charge->from;
	if (word != wanted || other || read_u64(folio + PAGE_MAPPING) != charge->mapping ||
	    !change_word(block, first, word, charge->slot | OWNER_BY_FILE)) {
		charge->left++;
		return false;
	}
	charge->from = word & SLOT_MASK;
	charge->type = read_u64(folio + PAGE_FLAGS) & (1ull << PG_SWAPBACKED) ? OWNER_SHMEM : OWNER_FILE;
	charge->mapped += mapped;
	return true;
}

static __always_inline bool is_charged(struct charge *charge, u64 folio)
{
	u64 frame = frame_of(folio);
	u64 key = (u32)(frame >> 9);
	struct block *block = owners.lookup((u32 *)&key);
	u32 word = block ? block->word[frame & (BLOCK_PAGES - 1)] : SLOT_NONE;
	return (word & (SLOT_MASK | OWNER_BY_FILE)) == (charge->slot | OWNER_BY_FILE);
}

static __always_inline void charge_page(struct charge *charge, u64 folio, u64 index)
{
	if (index != read_u64(folio + FOLIO_INDEX) || is_charged(charge, folio))
		return;
	if (!(read_u64(folio + PAGE_FLAGS) & (1ull << PG_HEAD)))
		charge->moved += charge_folio(charge, folio, small_mapped(folio));
	else if (!charge->large)
		charge->large = folio;
	else
		charge->left++;
}

static __always_inline void finish_charge(struct charge *charge)
{
	if (charge->large && charge_folio(charge, charge->large, large_mapped(charge, charge->large))) {
		u32 pages = folio_pages(charge->large);
		charge->moved += pages;
		if (!charge->mark)
			set_words(frame_of(charge->large), pages, charge->slot | OWNER_BY_FILE);
	}
	if (!charge->moved || charge->mark)
		return;
	if (charge->from) {
		take_and_publish(charge->from | charge->type, charge->moved);
		adjust(charge->from | OWNER_MAPPED, -(s64)charge->mapped);
	}
	adjust_and_publish(charge->slot | charge->type, charge->moved);
	adjust(charge->slot | OWNER_MAPPED, charge->mapped);
}
