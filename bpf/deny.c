/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Forks beyond a task limit are denied: the caller gets EAGAIN. Only where the kernel lets programs on functions decide;
 * elsewhere these two are left out, and tasks beyond a limit are told (limits.h).
 *
 * The kernel asks while it makes a task (security_task_alloc). What is allowed is reserved in group.starting up to the
 * root, so that forks at the same time never come to more than a limit together. In one step it becomes a task at
 * task_newtask, or it is given back when the fork fails after all (security_task_free).
 *
 * A child of clone3 with CLONE_INTO_CGROUP begins where the kernel says only later: nobody is asked about it here.
 */
#define CLONE_INTO_CGROUP 0x200000000ull /* include/uapi/linux/sched.h */
#define EAGAIN 11

static __always_inline bool has_task_limit(u32 slot)
{
	for (int i = 0; i < MAX_DEPTH && slot; i++) {
		struct group *group = group_of(slot);
		if (!group)
			return false;
		if (group->limited & LIMITED_TASKS)
			return true;
		slot = group->parent;
	}
	return false;
}

/* Reserve a task from a slot up; the first whose limit leaves no room, where it ended, or 0. */
static __always_inline u32 reserve(u32 slot, s64 *used)
{
	for (int i = 0; i < MAX_DEPTH && slot; i++) {
		struct group *group = group_of(slot);
		if (!group)
			return SLOT_NONE;
		s64 word = __sync_fetch_and_add(tasks_word(group), STARTING), tasks = (s32)word;
		struct limit *limit = group->limited & LIMITED_TASKS ? limit_of(slot) : NULL;
		if (limit && tasks + ((word - tasks) >> 32) >= limit->task_limit) {
			*used = tasks;
			return slot;
		}
		slot = group->parent;
	}
	return SLOT_NONE;
}

/* Arguments of the function: the task that is to be, flags of clone. */
int kmod_ret__security_task_alloc(u64 *ctx)
{
	u64 task = 0, flags = 0;
	bpf_get_func_arg(ctx, 0, &task);
	bpf_get_func_arg(ctx, 1, &flags);
	u32 slot = current_slot();
	if (flags & CLONE_INTO_CGROUP || !has_task_limit(slot))
		return 0;
	u64 value = slot;
	if (starting.insert(&task, &value))
		return 0; /* another version of this program was asked too, or there is no room: then it may be told */
	s64 used = 0;
	u32 full = reserve(slot, &used);
	if (!full)
		return 0;
	starting.delete(&task);
	struct group *group = group_of(full);
	give_back(slot, group ? group->parent : SLOT_NONE);
	struct limit *limit = limit_of(full);
	if (limit && hit_task_limit(limit, used))
		tell(slot, CAUSE_DENIED);
	return -EAGAIN;
}

int kfunc__security_task_free(u64 *ctx)
{
	u64 task = 0;
	bpf_get_func_arg(ctx, 0, &task);
	u32 slot = take_starting(task);
	if (slot)
		give_back(slot, SLOT_NONE);
	return 0;
}
