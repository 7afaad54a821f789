/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Huge pages that khugepaged makes of small ones. It allocates them itself, and the kernel charges them to the owner of
 * the memory that they are for, which only the tracepoint at the end of a collapse tells.
 */

#ifdef HAVE_COLLAPSE_EVENT

/* The frame of the last huge page of a kernel thread, by its id. */
BPF_HASH(huge_frames, u32, u64, 64);

static __always_inline void note_huge_page(u64 frame)
{
	u64 task = bpf_get_current_task();
	u32 thread = bpf_get_current_pid_tgid();
	if (read_u32(task + TASK_FLAGS) & PF_KTHREAD)
		huge_frames.update(&thread, &frame);
}

static __always_inline int give_to_owner(u64 mm, u64 frame)
{
	u32 index = frame >> 9, first = frame & (BLOCK_PAGES - 1), other;
	struct block *block = owners.lookup(&index);
	u64 owner = read_u64(mm + MM_OWNER);
	u32 word = block ? block->word[first] : 0;
	if (!word || !owner || word & OWNER_BY_FILE)
		return 0;
	u32 to = (word & ~SLOT_MASK) | slot_of_id(task_cgroup_id(owner));
	if (to == word)
		return 0;
	u64 changed = change_words(block, first, BLOCK_PAGES, word, to, &other);
	adjust_and_publish(to, changed);
	take_and_publish(word, changed);
	return 0;
}

RAW_TRACEPOINT_PROBE(mm_collapse_huge_page)
{
	u32 thread = bpf_get_current_pid_tgid();
	u64 *frame = huge_frames.lookup(&thread);
	if (!frame || (u32)ctx->args[2] != SCAN_SUCCEED)
		return 0;
	return give_to_owner(ctx->args[0], *frame);
}

/* Since Linux kernel commit 4c9473e87e75 ("mm/khugepaged: add tracepoint to collapse_file()") (in v6.2) */
#ifdef HAVE_FILE_COLLAPSE_EVENT
RAW_TRACEPOINT_PROBE(mm_khugepaged_collapse_file)
{
	if ((u32)ctx->args[7] != SCAN_SUCCEED)
		return 0;
	return give_to_owner(ctx->args[0], frame_of(ctx->args[1]));
}
#endif
#else
static __always_inline void note_huge_page(u64 frame)
{
}
#endif
