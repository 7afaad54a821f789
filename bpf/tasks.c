/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tasks (threads): started, ended, moved between cgroups, and those that were there before.
 *
 * A task is in task_slots exactly while it is counted. Entering it twice is harmless, so it does not matter whether
 * its fork, its move or the scan of existing tasks is seen first, nor that two versions of these programs run at once
 * while one replaces the other.
 */

/* Enter a task that is not known yet; `tasks` is 1, without STARTING if it was reserved in this slot. */
static __always_inline bool enter_task(u64 task, u32 slot, u64 flag, s64 tasks)
{
	u64 value = slot | flag;
	int error = task_slots.insert(&task, &value);
	if (!error) {
		add_tasks(slot, tasks, flag ? 1 : 0, 0);
		return true;
	}
	if (error != -17) /* EEXIST */
		COUNT(tasks_lost);
	return false;
}

static __always_inline void leave_task(u64 task, u64 exits)
{
	u64 *entry = task_slots.lookup(&task);
	if (!entry)
		return;
	u32 slot = *entry & SLOT_MASK;
	if (!task_slots.delete(&task))
		add_tasks(slot, -1, 0, exits);
}

/*
 * A new task, before it runs. Not sched_process_fork: that is of system calls and kernel threads only, and workers of
 * io_uring are tasks too. The idle tasks are made at boot. The child's own cgroup counts: clone3 with CLONE_INTO_CGROUP
 * starts it elsewhere than its parent.
 */
RAW_TRACEPOINT_PROBE(task_newtask)
{
	u64 child = ctx->args[0];
	u32 slot = slot_of_id(task_cgroup_id(child)), reserved = take_starting(child);
	bool here = reserved == slot, entered = enter_task(child, slot, TASK_FORKED, here ? 1 - STARTING : 1);
	if (reserved && !(here && entered))
		give_back(reserved, SLOT_NONE);
	if (entered)
		return 0;
	u64 *entry = task_slots.lookup(&child); /* moved or scanned between its birth and this event */
	if (!entry)
		return 0;
	u64 seen = *entry;
	if (!(seen & TASK_FORKED) && __sync_val_compare_and_swap(entry, seen, seen | TASK_FORKED) == seen)
		add_tasks(seen & SLOT_MASK, 0, 1, 0);
	return 0;
}

RAW_TRACEPOINT_PROBE(sched_process_exit)
{
	leave_task(ctx->args[0], 1);
	return 0;
}

/*
 * A move. One event for a thread group, so its threads are walked, a part in each program, because the verifier
 * bounds loops; programs of one walk call each other. The walk is stable: the event is sent with the thread group's
 * fork and exit locked out (cgroup_threadgroup_rwsem). What is beyond the last part is left to a scan by the agent.
 */
#define WALK_PART 64
#define WALK_PARTS 32

struct walk {
	u64 head;
	u64 next;
	u64 moved; /* threads that came from slot `from` in this part */
	u32 slot;
	u32 parts;
	u32 from;
	u32 other; /* where the one came from that ended this part */
};
BPF_PERCPU_ARRAY(walks, struct walk, 1);
BPF_PROG_ARRAY(walk_programs, 2);
#define WALK_MOVED 0
#define WALK_FOUND 1

/* Note a task's new slot; says the slot it was counted in, or the new one if there is nothing to move. */
static __always_inline u32 note_attach(u64 task, u32 slot)
{
	u64 *entry = task_slots.lookup(&task);
	if (!entry) {
		u64 value = slot;
		return task_slots.insert(&task, &value) ? slot : SLOT_NONE;
	}
	u64 seen = *entry;
	u64 was = __sync_lock_test_and_set(entry, (u64)slot | (seen & TASK_FORKED));
	return was & SLOT_MASK;
}

static __always_inline void move_tasks(u32 from, u32 to, s64 tasks)
{
	if (!tasks || from == to)
		return;
	if (from)
		add_tasks(from, -tasks, 0, 0);
	add_tasks(to, tasks, 0, 0);
}

/*
 * Threads of one process nearly always come from one cgroup, so they are moved as one sum. Where they do not (threaded
 * cgroups), the part ends at the first that came from elsewhere, which keeps the sums out of the loop. What the loop
 * gathers is in a map, where the verifier does not follow it.
 */
static __always_inline bool walk_part(struct walk *walk)
{
	walk->moved = 0;
	walk->other = SLOT_NONE;
	for (int i = 0; i < WALK_PART; i++) {
		u64 next = walk->next;
		if (!next || next == walk->head || walk->other)
			break;
		u64 task = next - TASK_THREAD_NODE;
		walk->next = read_u64(next);
		if (read_u32(task + TASK_FLAGS) & PF_EXITING)
			continue;
		u32 was = note_attach(task, walk->slot);
		if (was == walk->slot)
			continue;
		if (!walk->moved || was == walk->from) {
			walk->from = was;
			walk->moved++;
		} else {
			walk->other = was;
		}
	}
	move_tasks(walk->from, walk->slot, walk->moved);
	move_tasks(walk->other, walk->slot, walk->other ? 1 : 0);
	return walk->next && walk->next != walk->head;
}

static __always_inline void begin_walk(struct walk *walk, u64 task, u32 slot)
{
	walk->head = read_u64(task + TASK_SIGNAL) + SIGNAL_THREAD_HEAD;
	walk->next = read_u64(walk->head);
	walk->slot = slot;
	walk->parts = 0;
}

int walk_threads(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = 0;
	struct walk *walk = walks.lookup(&key);
	if (!walk || !walk_part(walk))
		return 0;
	if (++walk->parts < WALK_PARTS)
		walk_programs.call(ctx, WALK_MOVED);
	COUNT(tasks_lost);
	return 0;
}

RAW_TRACEPOINT_PROBE(cgroup_attach_task)
{
	u64 cgroup = ctx->args[0], task = ctx->args[2];
	if (read_u32(read_u64(cgroup + CGROUP_ROOT) + CGROUP_ROOT_HIERARCHY_ID))
		return 0; /* a v1 hierarchy */
	u32 slot = slot_of_id(cgroup_id(cgroup));
	if (!(ctx->args[3] & 1)) { /* one thread */
		move_tasks(note_attach(task, slot), slot, 1);
		return 0;
	}
	u32 key = 0;
	struct walk *walk = walks.lookup(&key);
	if (!walk)
		return 0;
	begin_walk(walk, task, slot);
	walk_programs.call(ctx, WALK_MOVED);
	COUNT(tasks_lost);
	return 0;
}

/*
 * All tasks that exist, once after loading and whenever tasks_lost says that the table may be wrong. A task that begins
 * to exit while it is looked at is taken out again: its exit event may have come before it was entered.
 */
static __always_inline void scan_task(u64 task)
{
	if (read_u32(task + TASK_FLAGS) & PF_EXITING)
		return;
	u64 *entry = task_slots.lookup(&task), seen = entry ? *entry : 0;
	u32 slot = slot_of_id(task_cgroup_id(task));
	if (!entry)
		enter_task(task, slot, 0, 1);
	else if ((seen & SLOT_MASK) != slot &&
		 __sync_val_compare_and_swap(entry, seen, (u64)slot | (seen & TASK_FORKED)) == seen)
		move_tasks(seen & SLOT_MASK, slot, 1);
	if (read_u32(task + TASK_FLAGS) & PF_EXITING)
		leave_task(task, 0);
}

struct bpf_iter__task {
	u64 meta;
	u64 task;
};

BPF_ITER(task)
{
	u64 task = ctx->task;
	if (task)
		scan_task(task);
	return 0;
}

/*
 * Some kernels leave processes out of the iteration (a guest's agent, seen on Firecracker). The loader finds them in
 * /proc and names them here (argument: process id). The list of all processes is walked from the loader's own.
 */
#define PROCESSES_WALKED 2048

/* A process's first task by its id, or 0. */
static __always_inline u64 find_process(u32 wanted)
{
	u64 task = read_u64((u64)bpf_get_current_task() + TASK_GROUP_LEADER);
	for (int i = 0; i < PROCESSES_WALKED; i++) {
		if (read_u32(task + TASK_TGID) == wanted)
			return task;
		task = read_u64(task + TASK_TASKS) - TASK_TASKS;
	}
	return 0;
}

int scan_process(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = 0;
	struct walk *walk = walks.lookup(&key);
	u64 task = find_process(ctx->args[0]);
	if (!walk || !task)
		return 0;
	begin_walk(walk, task, SLOT_NONE);
	walk_programs.call(ctx, WALK_FOUND);
	return 0;
}

int scan_threads(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = 0;
	struct walk *walk = walks.lookup(&key);
	if (!walk)
		return 0;
	for (int i = 0; i < 4; i++) {
		u64 next = walk->next;
		if (!next || next == walk->head)
			return 0;
		walk->next = read_u64(next);
		scan_task(next - TASK_THREAD_NODE);
	}
	walk_programs.call(ctx, WALK_FOUND); /* as often as the kernel allows: 33 times, so 132 threads */
	return 0;
}
