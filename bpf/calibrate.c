/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the kernel keeps struct page: no symbol says so. The loader touches memory of its own, this notes the struct
 * page of each allocation of its thread, and /proc/self/pagemap has their frame numbers.
 */

#define CALIBRATION_PAGES 2048

struct calibration {
	u64 next;
	u64 page[CALIBRATION_PAGES];
};
BPF_TABLE("array", u32, struct calibration, calibration, 1);

RAW_TRACEPOINT_PROBE(mm_page_alloc)
{
	u32 key = 0;
	struct calibration *table = calibration.lookup(&key);
	if ((u32)bpf_get_current_pid_tgid() != LOADER_THREAD || !table)
		return 0;
	if (ctx->args[1] || ((u32)ctx->args[2] & GFP_USER_MOVABLE) != GFP_USER_MOVABLE)
		return 0;
	u64 at = table->next++;
	table->page[at & (CALIBRATION_PAGES - 1)] = ctx->args[0];
	return 0;
}
