/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading the kernel, and finding the slot of what was read.
 *
 * Offsets and constants in capitals that are defined nowhere here come from the running kernel's BTF
 * (agent/containeragent/loader/kernel_layout.py writes them before this file). Addresses are plain integers on
 * purpose: bcc rewrites pointer dereferences, and the verifier refuses arithmetic on typed pointers.
 */

/* Keep the compiler from using what it knows of a value: it would drop the bound that the verifier needs. */
#define OPAQUE(value) asm volatile("" : "+r"(value))

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

/*
 * Keys of 32 bits that fill a stack slot of 64: of one that is half filled, the verifier tells apart what was there
 * before, and walks through everything that follows once for each.
 */
static __always_inline struct state *host_state(void)
{
	u64 key = 0;
	return state.lookup((u32 *)&key);
}

static __always_inline struct group *group_of(u64 slot)
{
	return groups.lookup((u32 *)&slot);
}

static __always_inline struct limit *limit_of(u64 slot)
{
	return limits.lookup((u32 *)&slot);
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
 * An entry of the cache is one word, because it is read and written without a lock: bits 59..16 of the id, then the slot.
 * The lowest bits of the id say where it is, in at least 65536 entries. The kernel counts ids up by one for each file of
 * the hierarchy, from 1 to 2^31 - 1, and how often it began anew in the upper half (kernfs_new_node()): none has more than
 * 60 bits before it has done so 2^28 times. Such an id would be found in no entry, and must not be entered.
 */
#define CACHED_ID_SHIFT 16
#define CACHED_ID_BITS (64 - SLOT_BITS + CACHED_ID_SHIFT)

static __always_inline u64 *cache_entry(u64 id)
{
	u32 key = id & (IDS_CACHED - 1);
	return id_cache.lookup(&key);
}

static __always_inline bool is_cached_in(u64 entry, u64 id)
{
	return entry >> SLOT_BITS == id >> CACHED_ID_SHIFT;
}

/*
 * A cgroup that is not known has no slot because the table of ids is full (the loader enters every cgroup before it
 * attaches what counts), so it counts with the root.
 */
static __always_inline u32 slot_of_id(u64 id)
{
	u64 *cached = cache_entry(id);
	if (cached) {
		u64 entry = *cached;
		if ((entry & SLOT_MASK) && is_cached_in(entry, id))
			return entry & SLOT_MASK;
	}
	u32 *slot = id_slots.lookup(&id);
	if (!slot)
		return SLOT_ROOT;
	u32 found = *slot & SLOT_MASK;
	if (cached && !(id >> CACHED_ID_BITS))
		*cached = id >> CACHED_ID_SHIFT << SLOT_BITS | found;
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
