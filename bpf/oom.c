/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel chose a task to kill, because another found no memory. */

#ifdef HAVE_OOM_EVENTS
#define KERNEL_SPACE (1ull << 63)

/*
 * The argument is the victim since Linux kernel commit 72ba14deb40a ("mm: update mark_victim tracepoints fields") (in
 * v6.9, and in stable kernels from before); else its id.
 */
RAW_TRACEPOINT_PROBE(mark_victim)
{
	u64 victim = ctx->args[0], pid = (u32)victim;
	if (victim < KERNEL_SPACE)
		victim = find_process(pid);
	struct oom_notice *notice = notices.ringbuf_reserve(sizeof(*notice));
	if (!notice) {
		COUNT(notices_lost);
		return 0;
	}
	u64 id = victim ? task_cgroup_id(victim) : 0;
	notice->kind = NOTICE_OOM;
	notice->slot = victim ? slot_of_id(id) : SLOT_NONE;
	notice->cgroup_id = id;
	notice->victim_pid = victim ? read_u32(victim + TASK_TGID) : pid;
	notice->trigger_pid = bpf_get_current_pid_tgid() >> 32;
	notice->trigger_cgroup_id = bpf_get_current_cgroup_id();
	notice->victim_comm[0] = 0;
	if (victim)
		bpf_probe_read_kernel_str(notice->victim_comm, COMM_BYTES, (void *)(victim + TASK_COMM));
	bpf_get_current_comm(notice->trigger_comm, COMM_BYTES);
	notices.ringbuf_submit(notice, 0);
	return 0;
}
#endif
