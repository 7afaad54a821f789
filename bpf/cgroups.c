/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cgroups and their slots.
 *
 * A cgroup takes a slot when it is made, before anything can run in it. When it is removed, the slot is free again at
 * once if no owner word names it and no slot names it as parent; else it is dead: its pages still count with its
 * ancestors, through the slot's parent, until the agent has given them to the nearest living ancestor (sweep.c). A slot
 * is taken again only while no word names it and its count is zero.
 */

/* Free a slot that no owner word names, unless another slot names it; says whether it is free. */
static __always_inline bool retire(u32 number, struct slot *slot, struct group *group, u32 heir)
{
	if (group->children)
		return false;
	clear_rows(number, heir);
	u32 key = group->parent;
	struct group *parent = groups.lookup(&key);
	if (parent)
		__sync_fetch_and_add(&parent->children, -1);
	slot->heir = heir; /* until it is taken again */
	slot->state = SLOT_FREE;
	free_slots.push(&number, 0);
	return true;
}

static __always_inline void topology_changed(s64 dead)
{
	struct state *host = host_state();
	if (!host)
		return;
	__sync_fetch_and_add(&host->topology, 1);
	if (dead)
		__sync_fetch_and_add(&host->dead_slots, dead);
}

/* Without a slot of its own, a cgroup counts with its parent's. */
static __always_inline void share_slot(u64 id, u32 parent)
{
	id_slots.insert(&id, &parent); /* refused when that is full too: then it counts with the root */
	COUNT(slots_exhausted);
}

static __always_inline u32 begin_cgroup(u64 id, u64 parent_id, u32 level, bool existed)
{
	if (id_slots.lookup(&id))
		return 0;
	u32 parent = SLOT_NONE, number = SLOT_ROOT;
	if (level) {
		u32 *found = id_slots.lookup(&parent_id);
		if (!found)
			return 0; /* the loader has not come to the parent yet, and will see this one then */
		parent = *found & SLOT_MASK;
		if (free_slots.pop(&number)) {
			share_slot(id, parent);
			return 0;
		}
	}
	struct slot *slot = slots.lookup(&number);
	struct group *group = groups.lookup(&number), *above = groups.lookup(&parent);
	struct limit *limit = limits.lookup(&number);
	if (!slot || !group || !above || !limit)
		return 0;
	__builtin_memset(group, 0, sizeof(*group));
	__builtin_memset(limit, 0, sizeof(*limit));
	group->parent = parent;
	if (parent)
		__sync_fetch_and_add(&above->children, 1);
	slot->cgroup_id = id;
	slot->born_ns = existed ? 0 : bpf_ktime_get_ns();
	slot->died_ns = 0;
	slot->level = level;
	slot->partial = existed;
	slot->heir = SLOT_NONE;
	slot->state = SLOT_LIVE;
	id_slots.insert(&id, &number);
	topology_changed(0);
	return number;
}

/* The counters as they are now; rows are cleared when the slot is freed. */
static __always_inline void record_counters(struct end *end, u32 number, struct group *group)
{
	struct sums sums = sums_of(number);
	s64 pages = group->pages + held_back(&sums);
	end->anon = sums.anon;
	end->file = sums.file;
	end->shmem = sums.shmem;
	end->pages = pages;
	end->pages_peak = group->pages_peak > pages ? group->pages_peak : pages;
	end->tasks_peak = group->tasks_peak;
	end->forks = group->forks;
	end->exits = group->exits;
	end->children = group->children;
	struct limit *limit = limits.lookup(&number);
	if (!limit)
		return;
	end->task_limit_hits = limit->task_limit_hits;
	end->page_limit_hits = limit->page_limit_hits;
}

/* The path that the tracepoint has is cut at 1024 bytes by the kernel, and at END_PATH_BYTES here. */
static __always_inline void record_path(struct end *end, u64 path)
{
	long bytes = bpf_probe_read_kernel_str(end->path, sizeof(end->path), (void *)path);
	end->path_bytes = bytes > 0 ? bytes : 0;
	end->path_cut = bytes == sizeof(end->path) && read_u8(path + sizeof(end->path) - 1);
}

static __always_inline void notify(u32 kind, u32 slot, u64 id)
{
	struct notice notice = {.kind = kind, .slot = slot, .cgroup_id = id};
	if (notices.ringbuf_output(&notice, sizeof(notice), 0))
		COUNT(notices_lost);
}

static __always_inline bool is_below(struct group *group, u32 ancestor)
{
	for (int i = 0; i < MAX_DEPTH && group; i++) {
		u32 parent = group->parent;
		if (!parent || parent == ancestor)
			return parent;
		group = groups.lookup(&parent);
	}
	return false;
}

/* Removals are one at a time (cgroup_mutex), so a record has one writer. */
static __always_inline void record_end(u32 number, struct slot *slot, struct group *group, u64 path)
{
	struct state *host = host_state();
	if (!host)
		return;
	bool managed = host->managed_root && is_below(group, host->managed_root);
	u64 sequence = (managed ? host->ends : host->other_ends) + 1;
	u32 key = (managed ? 0 : ENDS) + (sequence - 1) % ENDS;
	struct end *end = ends.lookup(&key);
	if (!end)
		return;
	__sync_lock_test_and_set(&end->sequence, 0);
	end->cgroup_id = slot->cgroup_id;
	end->born_ns = slot->born_ns;
	end->died_ns = slot->died_ns;
	end->slot = number;
	end->partial = slot->partial;
	end->reason[0] = 0;
	record_counters(end, number, group);
	record_path(end, path);
	__sync_lock_test_and_set(&end->sequence, sequence);
	if (!managed) {
		__sync_lock_test_and_set(&host->other_ends, sequence);
		return;
	}
	__sync_lock_test_and_set(&host->ends, sequence);
	notify(NOTICE_ENDED, number, slot->cgroup_id);
}

/* `path` is its name as the kernel has it, 0 if that is not known: then there is no record of it. */
static __always_inline void end_cgroup(u64 id, u64 path)
{
	u32 *found = id_slots.lookup(&id);
	if (!found)
		return;
	u32 number = *found & SLOT_MASK;
	u64 *cached = cache_entry(id);
	id_slots.delete(&id);
	if (cached && is_cached_in(*cached, id))
		*cached = 0;
	struct slot *slot = slots.lookup(&number);
	struct group *group = groups.lookup(&number);
	if (!slot || !group || slot->cgroup_id != id)
		return; /* it shared an ancestor's */
	slot->died_ns = bpf_ktime_get_ns();
	if (path)
		record_end(number, slot, group, path);
	if (named_by_no_word(number) && retire(number, slot, group, SLOT_NONE)) {
		topology_changed(0);
		return;
	}
	slot->state = SLOT_DEAD;
	topology_changed(1);
}

RAW_TRACEPOINT_PROBE(cgroup_mkdir)
{
	u64 cgroup = ctx->args[0];
	if (read_u32(read_u64(cgroup + CGROUP_ROOT) + CGROUP_ROOT_HIERARCHY_ID))
		return 0;
	u64 parent = read_u64(read_u64(cgroup + CGROUP_SELF + CSS_PARENT) + CSS_CGROUP);
	begin_cgroup(cgroup_id(cgroup), cgroup_id(parent), read_u32(cgroup + CGROUP_LEVEL), false);
	return 0;
}

RAW_TRACEPOINT_PROBE(cgroup_rmdir)
{
	u64 cgroup = ctx->args[0];
	if (!read_u32(read_u64(cgroup + CGROUP_ROOT) + CGROUP_ROOT_HIERARCHY_ID))
		end_cgroup(cgroup_id(cgroup), ctx->args[1]);
	return 0;
}

/* The loader's: cgroups that exist (arguments: id, parent's id, level), and one that went while it looked (id). */
int adopt_cgroup(struct bpf_raw_tracepoint_args *ctx)
{
	return begin_cgroup(ctx->args[0], ctx->args[1], ctx->args[2], true);
}

int forget_cgroup(struct bpf_raw_tracepoint_args *ctx)
{
	end_cgroup(ctx->args[0], 0);
	return 0;
}

/* The agent's, after a sweep that found no word of it (arguments: slot, heir); 1 if the slot is free again. */
int retire_slot(struct bpf_raw_tracepoint_args *ctx)
{
	u32 number = ctx->args[0] & SLOT_MASK;
	struct slot *slot = slots.lookup(&number);
	struct group *group = groups.lookup(&number);
	if (!slot || !group || slot->state != SLOT_DEAD || !retire(number, slot, group, ctx->args[1] & SLOT_MASK))
		return 0;
	topology_changed(-1);
	return 1;
}
