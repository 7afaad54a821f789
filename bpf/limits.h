/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happens when a sum goes above its limit: the hit is counted and noted with the limit, and the agent is woken once
 * for all that were noted. It hears no more of a limit until it arms it again, which it does before it looks at the sum:
 * so no crossing passes unseen, and a storm of them wakes nobody. Only what was told is armed again: a hit whose notice
 * is on its way stays one.
 */

/* 1 if `value` lies between, 0 else. Without branches, because it stands in loops that the verifier walks through. */
static __always_inline u64 crossed(s64 value, s64 was, s64 now)
{
	return (u64)((value - now) & ~(value - was)) >> 63;
}

/* Whether the agent is to be woken: `usage` is kept for it then, before it may look. */
static __always_inline bool note_hit(u64 *flag, s64 *seen, s64 usage)
{
	if (*(volatile u64 *)flag != LIMIT_ARMED)
		return false;
	*seen = usage;
	return __sync_val_compare_and_swap(flag, LIMIT_ARMED, LIMIT_HIT) == LIMIT_ARMED;
}

/* A fork was denied, or has come to more tasks than the limit. */
static __always_inline bool hit_task_limit(struct limit *limit, s64 tasks)
{
	__sync_fetch_and_add(&limit->task_limit_hits, 1);
	return note_hit(&limit->tasks_flag, &limit->tasks_at_hit, tasks);
}

static __always_inline bool check_forked(u32 slot, s64 tasks)
{
	struct limit *limit = limit_of(slot);
	return limit && tasks > limit->task_limit && hit_task_limit(limit, tasks);
}

/* Pages went up from `was` to `now`: of those that add at the same time, one crosses. */
static __always_inline bool check_pages(u32 slot, s64 was, s64 now)
{
	struct limit *limit = limit_of(slot);
	bool news = false;
	if (!limit)
		return false;
	if (crossed(limit->page_limit, was, now)) {
		__sync_fetch_and_add(&limit->page_limit_hits, 1);
		news = note_hit(&limit->pages_flag, &limit->pages_at_hit, now);
	}
	if (crossed(limit->page_stop, was, now))
		news |= note_hit(&limit->stop_flag, &limit->stop_at_hit, now);
	return news;
}

/* Wake the agent: limits of this slot or of its ancestors were hit. The task is the one at work. */
static __always_inline void tell(u32 slot, u32 cause)
{
	struct limit_notice *notice = notices.ringbuf_reserve(sizeof(*notice));
	if (!notice) {
		COUNT(notices_lost);
		return;
	}
	notice->kind = NOTICE_LIMIT;
	notice->slot = slot;
	notice->cause = cause;
	notice->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(notice->comm, sizeof(notice->comm));
	notices.ringbuf_submit(notice, 0);
}
