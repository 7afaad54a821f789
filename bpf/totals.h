/* SPDX-License-Identifier: GPL-2.0-only */
/* The two sums that everything ends in, carried up from a slot to its ancestors, where limits hold. */

#define STARTING (1ll << 32) /* one task in group.starting, of the word that it is with group.tasks */

static __always_inline s64 *tasks_word(struct group *group)
{
	return (s64 *)&group->tasks;
}

/* Take back, from a slot up and without `end`, what was reserved for a task that was starting. */
static __always_inline void give_back(u32 slot, u32 end)
{
	for (int i = 0; i < MAX_DEPTH && slot && slot != end; i++) {
		struct group *group = group_of(slot);
		if (!group)
			return;
		__sync_fetch_and_add(tasks_word(group), -STARTING);
		slot = group->parent;
	}
}

/* A task is not starting any more; the slot that it was reserved in, or none. */
static __always_inline u32 take_starting(u64 task)
{
	u64 *entry = starting.lookup(&task);
	if (!entry)
		return SLOT_NONE;
	u32 slot = *entry & SLOT_MASK;
	return starting.delete(&task) ? SLOT_NONE : slot;
}

/*
 * Raise a peak. Each failed exchange means that another CPU raised it in the few nanoseconds since we looked. With more
 * tries than a few as a loop, and by the difference: of two numbers that are compared, the verifier learns a bit each
 * time round, and would follow everything that comes after once for each.
 */
static __always_inline void raise_peak(s64 *peak, s64 value)
{
#if CPUS > 2
#pragma clang loop unroll(disable)
#endif
	for (int i = 0; i < PEAK_TRIES; i++) {
		s64 seen = *(volatile s64 *)peak, more = value - seen;
		if (CPUS > 2)
			OPAQUE(more);
		if (more <= 0 || __sync_val_compare_and_swap(peak, seen, value) == seen)
			return;
	}
}

/*
 * Carry tasks up from a slot; forks and exits are totals. Tasks may be negative, and a task that was starting takes
 * STARTING away.
 */
static __always_inline void add_tasks(u32 slot, s64 tasks, u64 forks, u64 exits)
{
	struct group *group = group_of(slot);
	u32 at = slot;
	bool news = false;
	/* Of adding a constant 0 to 32 bits the compiler would make an operation that it does not have. */
	if (group && tasks)
		__sync_fetch_and_add(&group->tasks_local, (s32)tasks);
	for (int i = 0; i < MAX_DEPTH && group; i++) {
		s64 now = tasks ? (s32)(__sync_fetch_and_add(tasks_word(group), tasks) + tasks) : group->tasks;
		if ((s32)tasks > 0)
			raise_peak(&group->tasks_peak, now);
		if (forks) {
			__sync_fetch_and_add(&group->forks, forks);
			if (group->limited & LIMITED_TASKS)
				news |= check_forked(at, now);
		}
		if (exits)
			__sync_fetch_and_add(&group->exits, exits);
		at = group->parent;
		if (!at)
			break;
		group = group_of(at);
	}
	if (news)
		tell(slot, CAUSE_CROSSED);
}

/* Carry pages up from a slot; whether they may be more is known when this is compiled. */
static __always_inline void carry_pages(u32 slot, s64 pages, bool may_be_more)
{
	u32 at = slot;
	bool news = false;
	for (int i = 0; i < MAX_DEPTH && at; i++) {
		struct group *group = group_of(at);
		if (!group)
			break;
		s64 now = __sync_fetch_and_add(&group->pages, pages) + pages;
		if (may_be_more && pages > 0) {
			raise_peak(&group->pages_peak, now);
			if (group->limited & LIMITED_PAGES)
				news |= check_pages(at, now - pages, now);
		}
		at = group->parent;
	}
	if (news)
		tell(slot, CAUSE_CROSSED);
}

static __always_inline void publish_pages(u32 slot, s64 pages)
{
	carry_pages(slot, pages, true);
}
