/* SPDX-License-Identifier: GPL-2.0-only */
/* Give cached pages of a file to a slot (engine tracepoint): the word says all that is counted, so one exchange does. */

/* One run over pages of a file. Of words that differ, those like the first are moved; the others are left to the next. */
struct charge {
	u64 mapping;
	u64 mark; /* needs none */
	u64 moved;
	u64 left;
	u32 slot;
	u32 from;
	u32 to;
};
BPF_ARRAY(charges, struct charge, 1); /* not on the stack, where the verifier would follow every number */

/* The word that a page is to have; 0 to leave it, on its way into the cache it is given by the events. */
static __always_inline u32 charged_word(struct charge *charge, u64 folio, u32 word)
{
	bool shmem = read_u64(folio + PAGE_FLAGS) & (1ull << PG_SWAPBACKED);
	if (!word) /* from before the load */
		return charge->slot | OWNER_BY_FILE | (shmem ? OWNER_SHMEM : OWNER_FILE);
	return word & (OWNER_FILE | OWNER_SHMEM) ? (word & ~SLOT_MASK) | charge->slot | OWNER_BY_FILE : 0;
}

static __always_inline void charge_page(struct charge *charge, u64 folio, u64 index)
{
	u64 frame = frame_of(folio) + index - read_u64(folio + FOLIO_INDEX);
	u64 key = (u32)(frame >> 9), first = frame & (BLOCK_PAGES - 1);
	struct block *block = owners.lookup((u32 *)&key);
	if (!block)
		return;
	u32 word = *(volatile u32 *)&block->word[first], to = charged_word(charge, folio, word);
	if (!to || to == word)
		return;
	if ((charge->moved && word != charge->from) || !change_word(block, first, word, to)) {
		charge->left++;
		return;
	}
	if (read_u64(folio + PAGE_MAPPING) != charge->mapping && change_word(block, first, to, word))
		return; /* it was truncated, and perhaps is another file's by now */
	charge->from = word;
	charge->to = to;
	charge->moved++;
}

static __always_inline void finish_charge(struct charge *charge)
{
	if (!charge->moved)
		return;
	if (charge->from)
		take_and_publish(charge->from, charge->moved);
	adjust_and_publish(charge->to, charge->moved);
}
