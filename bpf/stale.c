/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Words of frames that are free: the program on mm_page_free was left out, because an interrupt freed the page while
 * that program was at work on the same CPU. Run by the agent, for frames that two of its looks found free with the same
 * word: mark_stale, then a third look at the frame, then settle_stale.
 *
 * Every program that gives a frame a new life overwrites its word, mark and all. So a word that is still marked after
 * the frame was seen free is nobody's, whatever happened in between; whoever takes it out takes out its count.
 */

static __always_inline bool exchange_word(u64 frame, u32 from, u32 to)
{
	u32 key = frame >> 9;
	struct block *block = owners.lookup(&key);
	return block && from && change_word(block, frame & (BLOCK_PAGES - 1), from, to);
}

/* Arguments: frame, word. 1 if it has that word, and now the mark. */
int mark_stale(struct bpf_raw_tracepoint_args *ctx)
{
	u32 word = ctx->args[1];
	return exchange_word(ctx->args[0], word, word | OWNER_STALE);
}

/* Arguments: frame, word as it was before it was marked, whether the frame was free after that. 1 if it is mended. */
int settle_stale(struct bpf_raw_tracepoint_args *ctx)
{
	u32 word = ctx->args[1];
	bool was_free = ctx->args[2];
	if (!exchange_word(ctx->args[0], word | OWNER_STALE, was_free ? SLOT_NONE : word & ~OWNER_STALE))
		return 0;
	if (was_free)
		take_and_publish(word, 1);
	return was_free;
}
