/* SPDX-License-Identifier: GPL-2.0-only */
/* Limits are set by the agent, which runs this program. */

/* A limit that is set below what is used is a hit. */
static __always_inline void begin_limits(u32 slot, struct group *group, struct limit *limit, bool less_tasks,
					 bool less_pages)
{
	bool news = false;
	limit->tasks_flag = limit->pages_flag = limit->stop_flag = LIMIT_ARMED;
	if (group->tasks > limit->task_limit) {
		limit->task_limit_hits += less_tasks;
		news |= note_hit(&limit->tasks_flag, &limit->tasks_at_hit, group->tasks);
	}
	if (group->pages > limit->page_limit) {
		limit->page_limit_hits += less_pages;
		news |= note_hit(&limit->pages_flag, &limit->pages_at_hit, group->pages);
	}
	if (news)
		tell(slot, CAUSE_SET);
}

/*
 * Arguments: cgroup id, task limit, page limit, the highest number for none. Its slot; 0 if it has none of its own.
 * Limits that are set again are told again, if they are not kept.
 */
int set_limits(struct bpf_raw_tracepoint_args *ctx)
{
	u64 id = ctx->args[0];
	s64 tasks = ctx->args[1], pages = ctx->args[2];
	u32 *found = id_slots.lookup(&id);
	u32 number = found ? *found & SLOT_MASK : SLOT_NONE;
	struct slot *slot = slots.lookup(&number);
	struct group *group = groups.lookup(&number);
	struct limit *limit = limits.lookup(&number);
	if (!slot || !group || !limit || slot->cgroup_id != id)
		return 0;
	u32 was = group->limited;
	bool less_tasks = !(was & LIMITED_TASKS) || tasks < limit->task_limit;
	bool less_pages = !(was & LIMITED_PAGES) || pages < limit->page_limit;
	limit->task_limit = tasks;
	limit->page_limit = pages;
	limit->page_stop = pages == NO_LIMIT ? NO_LIMIT : pages + (pages >> 3);
	group->limited = (tasks == NO_LIMIT ? 0 : LIMITED_TASKS) | (pages == NO_LIMIT ? 0 : LIMITED_PAGES);
	if (slot->cgroup_id != id ||
	    slot->state != SLOT_LIVE) { /* removed in between, and the slot perhaps taken again */
		group->limited = 0;
		return 0;
	}
	begin_limits(number, group, limit, less_tasks, less_pages);
	return number;
}
