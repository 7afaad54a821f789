/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the kernel, and the two sums that everything ends in.
 *
 * Offsets and constants in capitals that are defined nowhere here come from the running kernel's BTF
 * (agent/containeragent/loader/kernel_layout.py writes them before this file). Addresses are plain integers on
 * purpose: bcc rewrites pointer dereferences, and the verifier refuses arithmetic on typed pointers.
 */

static __always_inline u64 read_u64(u64 address)
{
	u64 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u32 read_u32(u64 address)
{
	u32 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u8 read_u8(u64 address)
{
	u8 value = 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline struct state *host_state(void)
{
	u32 key = 0;
	return state.lookup(&key);
}

#define COUNT(field)                                                                                                   \
	do {                                                                                                           \
		struct state *_state = host_state();                                                                   \
		if (_state)                                                                                            \
			__sync_fetch_and_add(&_state->field, 1);                                                       \
	} while (0)

static __always_inline u64 cgroup_id(u64 cgroup)
{
	return read_u64(read_u64(cgroup + CGROUP_KN) + KERNFS_NODE_ID);
}

/* The cgroup that a task is in on the default (v2) hierarchy. */
static __always_inline u64 task_cgroup_id(u64 task)
{
	return cgroup_id(read_u64(read_u64(task + TASK_CGROUPS) + CSS_SET_DFL_CGRP));
}

/*
 * A cgroup that is not known has no slot because the table of ids is full (the loader enters every cgroup before it
 * attaches what counts), so it counts with the root.
 */
static __always_inline u32 slot_of_id(u64 id)
{
	u32 key = id & 0xffff;
	u64 *cached = id_cache.lookup(&key);
	if (cached) {
		u64 entry = *cached;
		if ((entry & 0xffff) && (entry >> 16) == (id >> 16))
			return entry & 0xffff;
	}
	u32 *slot = id_slots.lookup(&id);
	if (!slot)
		return SLOT_ROOT;
	u32 found = *slot & SLOT_MASK;
	if (cached)
		*cached = (id & ~0xffffull) | found;
	return found;
}

static __always_inline u32 current_slot(void)
{
	return slot_of_id(bpf_get_current_cgroup_id());
}

static __always_inline struct row *row_of(u32 slot)
{
	u32 key = bpf_get_smp_processor_id() * SLOTS + (slot & SLOT_MASK);
	return rows.lookup(&key);
}

/* Raise a peak. Each failed exchange means that another CPU raised it in the few nanoseconds since we looked. */
static __always_inline void raise_peak(s64 *peak, s64 value)
{
	for (int i = 0; i < PEAK_TRIES; i++) {
		s64 seen = *(volatile s64 *)peak;
		if (seen >= value || __sync_val_compare_and_swap(peak, seen, value) == seen)
			return;
	}
}

/* Carry tasks up from a slot; forks and exits are totals, tasks may be negative. */
static __always_inline void add_tasks(u32 slot, s64 tasks, u64 forks, u64 exits)
{
	struct group *group = groups.lookup(&slot);
	if (group)
		__sync_fetch_and_add(&group->tasks_local, tasks);
	for (int i = 0; i < MAX_DEPTH && group; i++) {
		if (tasks) {
			s64 now = __sync_fetch_and_add(&group->tasks, tasks) + tasks;
			if (tasks > 0)
				raise_peak(&group->tasks_peak, now);
		}
		if (forks)
			__sync_fetch_and_add(&group->forks, forks);
		if (exits)
			__sync_fetch_and_add(&group->exits, exits);
		u32 parent = group->parent;
		if (!parent)
			return;
		group = groups.lookup(&parent);
	}
}

/* Carry pages up from a slot. */
static __always_inline void publish_pages(u32 slot, s64 pages)
{
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct group *group = groups.lookup(&slot);
		if (!group)
			return;
		s64 now = __sync_fetch_and_add(&group->pages, pages) + pages;
		if (pages > 0)
			raise_peak(&group->pages_peak, now);
		slot = group->parent;
		if (!slot)
			return;
	}
}
