/* SPDX-License-Identifier: GPL-2.0-only */
/* One block of owner words at a time, run by the agent: dead slots' pages go to their heirs; pages are seeded at load. */

/* The word with its slot's heir in place of the slot. */
static __always_inline u32 inherited(u32 word)
{
	u32 number = word & SLOT_MASK;
	struct slot *slot = word ? slots.lookup(&number) : NULL;
	if (!slot || slot->state != SLOT_DEAD || !slot->heir)
		return word;
	slot->words++; /* only the agent runs this, one at a time */
	return (word & ~SLOT_MASK) | (slot->heir & SLOT_MASK);
}

/*
 * Argument: block. Words of slots that have an heir are rewritten, counts are not touched: what these pages do from now
 * on, the heir counts, and what the dead slot still holds is given to the heir when its last word is gone (retire_slot).
 * At every moment the two together are right, and a dead slot is summed into its heir's. What was changed by somebody
 * else meanwhile is left to the next sweep.
 */
int sweep_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0];
	struct block *block = owners.lookup(&key);
	for (u32 i = 0; block && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		if (!seen)
			continue;
		u64 next = (u64)inherited(seen >> 32) << 32 | inherited(seen);
		if (next != seen)
			__sync_val_compare_and_swap(pair, seen, next);
	}
	return 0;
}

/* A wanted word that is not there yet; 0 where something is known. */
static __always_inline u32 to_seed(u32 word, u32 wanted)
{
	return !word && wanted ? COUNTED(wanted) | OWNER_SEEDED : 0;
}

/* Argument: block. Enter the words in seed_words where nothing is known yet. Run it twice: a pair may be in use. */
int seed_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0], zero = 0;
	struct block *block = owners.lookup(&key), *wanted = seed_words.lookup(&zero);
	for (u32 i = 0; block && wanted && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		u32 low = to_seed(seen, wanted->word[i]), high = to_seed(seen >> 32, wanted->word[i + 1]);
		u64 next = seen | (u64)high << 32 | low;
		if (next == seen || __sync_val_compare_and_swap(pair, seen, next) != seen)
			continue;
		adjust(low, 1);
		adjust(high, 1);
	}
	return 0;
}

/*
 * Argument: block. The second look: seed_words now has what the pages are after the words were entered. A word that is
 * still seeded had no event since: it becomes what it is now, or goes with a page that went in between. Run it twice.
 */
int confirm_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0], zero = 0;
	struct block *block = owners.lookup(&key), *wanted = seed_words.lookup(&zero);
	for (u32 i = 0; block && wanted && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		bool low = seen & OWNER_SEEDED, high = seen >> 32 & OWNER_SEEDED;
		u32 low_now = low ? COUNTED(wanted->word[i]) : 0, high_now = high ? COUNTED(wanted->word[i + 1]) : 0;
		u64 next =
			(u64)(high ? CONFIRMED(high_now) : seen >> 32) << 32 | (low ? CONFIRMED(low_now) : (u32)seen);
		if (next == seen || __sync_val_compare_and_swap(pair, seen, next) != seen)
			continue;
		adjust(low ? seen : 0, -1);
		adjust(high ? seen >> 32 : 0, -1);
		adjust(low_now, 1);
		adjust(high_now, 1);
	}
	return 0;
}

/* Argument: slot, pages. Tell the ancestors of pages that were seeded. */
int publish_seeded(struct bpf_raw_tracepoint_args *ctx)
{
	publish_pages(ctx->args[0] & SLOT_MASK, ctx->args[1]);
	return 0;
}
