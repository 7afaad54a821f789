/* SPDX-License-Identifier: GPL-2.0-only */
/* One block of owner words at a time, run by the agent: dead slots' pages go to their heirs; pages are seeded at load. */

static __always_inline u32 heir_of(u32 word)
{
	u32 number = word & SLOT_MASK;
	struct slot *slot = word ? slots.lookup(&number) : NULL;
	return slot && slot->heir ? (word & ~SLOT_MASK) | (slot->heir & SLOT_MASK) : word;
}

/*
 * Argument: block. Words of slots that have an heir are rewritten; says how many pairs were. The ancestors' totals do not
 * change: the heir is among them. What was changed by somebody else meanwhile is left to the next sweep.
 */
int sweep_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0];
	struct block *block = owners.lookup(&key);
	u32 moved = 0;
	for (u32 i = 0; block && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		if (!seen)
			continue;
		u32 low = heir_of(seen), high = heir_of(seen >> 32);
		u64 next = (u64)high << 32 | low;
		if (next == seen || __sync_val_compare_and_swap(pair, seen, next) != seen)
			continue;
		adjust(seen, -1);
		adjust(seen >> 32, -1);
		adjust(low, 1);
		adjust(high, 1);
		moved++;
	}
	return moved;
}

/* Argument: block. Enter the words in seed_words where nothing is known yet. Run it twice: a pair may be in use. */
int seed_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0], zero = 0;
	struct block *block = owners.lookup(&key), *wanted = seed_words.lookup(&zero);
	for (u32 i = 0; block && wanted && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		u32 low = (u32)seen ? 0 : wanted->word[i], high = seen >> 32 ? 0 : wanted->word[i + 1];
		u64 next = seen | (u64)high << 32 | low;
		if (next == seen || __sync_val_compare_and_swap(pair, seen, next) != seen)
			continue;
		adjust(low, 1);
		adjust(high, 1);
	}
	return 0;
}

/* A word that is still as it was seeded and is not wanted any more; else 0. */
static __always_inline u32 outdated(u32 word, u32 wanted)
{
	return (word & OWNER_SEEDED) && !wanted ? word : 0;
}

/*
 * Argument: block. The second look: seed_words now has what the pages are after the words were entered. A word that is
 * still seeded and is not wanted any more belongs to a page that went in between. Run it twice.
 */
int confirm_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0], zero = 0;
	struct block *block = owners.lookup(&key), *wanted = seed_words.lookup(&zero);
	for (u32 i = 0; block && wanted && i < BLOCK_PAGES; i += 2) {
		u64 *pair = pair_of(block, i), seen = *(volatile u64 *)pair;
		u32 low = outdated(seen, wanted->word[i]), high = outdated(seen >> 32, wanted->word[i + 1]);
		u64 next = seen & ~((u64)high << 32 | low);
		if (next == seen || __sync_val_compare_and_swap(pair, seen, next) != seen)
			continue;
		adjust(low, -1);
		adjust(high, -1);
	}
	return 0;
}

/* Argument: slot, pages. Tell the ancestors of pages that were seeded. */
int publish_seeded(struct bpf_raw_tracepoint_args *ctx)
{
	publish_pages(ctx->args[0] & SLOT_MASK, ctx->args[1]);
	return 0;
}
