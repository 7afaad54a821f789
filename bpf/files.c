/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs that the agent runs on files: which file it has mapped, whose the pages are that are cached already, and
 * which files the pages of a block are of. The cache of a file is an xarray of folios (lib/xarray.c), read here under
 * RCU as the kernel does it.
 */

struct bpf_iter__task_vma {
	u64 meta;
	u64 task;
	u64 vma;
};

/*
 * The agent maps the file and names the address: a mapping has the inode that really has the pages, where an open file
 * may be of a file system on top of others (overlay).
 */
BPF_ITER(task_vma)
{
	u64 task = ctx->task, vma = ctx->vma, zero = 0;
	struct mapped_file *asked = mapped_file.lookup((u32 *)&zero);
	if (!task || !vma || !asked || read_u32(task + TASK_TGID) != bpf_get_current_pid_tgid() >> 32)
		return 0;
	if (read_u64(vma + VMA_START) != asked->address)
		return 0;
	u64 file = read_u64(vma + VMA_FILE), mapping = file ? read_u64(file + FILE_MAPPING) : 0;
	u64 inode = mapping ? read_u64(mapping + MAPPING_HOST) : 0;
	if (!inode)
		return 0;
	struct file_key key = {};
	read_file_key(&key, inode);
	asked->inode = key.inode;
	asked->device = key.device;
	asked->generation = key.generation;
	asked->mapping = mapping;
	return 0;
}

#define XARRAY_LEVELS 11
#define XARRAY_SLOTS 64 /* pages of one run: a node of the lowest level */
#define XARRAY_INTERNAL 2
#define XARRAY_LAST_SIBLING (XARRAY_SLOTS * 4)
#define XARRAY_FIRST_NODE 4096
#define XARRAY_VALUE 1 /* of a page that was reclaimed, or swapped out */

static __always_inline bool is_node(u64 entry)
{
	return (entry & 3) == XARRAY_INTERNAL && entry > XARRAY_FIRST_NODE;
}

static __always_inline u64 entry_in(u64 node, u64 slot)
{
	u64 entry = read_u64(node + XARRAY_NODE_SLOTS + (slot & (XARRAY_SLOTS - 1)) * 8);
	if ((entry & 3) == XARRAY_INTERNAL &&
	    entry < XARRAY_LAST_SIBLING) /* a folio of several slots is in its first */
		entry = read_u64(node + XARRAY_NODE_SLOTS + (entry >> 2 & (XARRAY_SLOTS - 1)) * 8);
	return entry;
}

/* Where a page is looked for. */
struct place {
	u64 node;  /* of the lowest level; 0: there is only `entry` */
	u64 entry; /* a folio that has all pages of the run, or only the first; 0: none */
	u32 shift; /* binary logarithm of the pages that `entry` stands for */
	u32 beyond;
};
/* Not on the stack: older verifiers would follow a whole run once for each way to find its place, a million steps. */
BPF_ARRAY(places, struct place, 1);

static __always_inline struct place find_place(u64 mapping, u64 index)
{
	struct place place = {.entry = read_u64(mapping + MAPPING_PAGES)};
	if (!is_node(place.entry)) {
		place.beyond = index > 0;
		return place;
	}
	for (int level = 0; level < XARRAY_LEVELS; level++) {
		u64 node = place.entry - XARRAY_INTERNAL;
		u32 shift = read_u8(node + XARRAY_NODE_SHIFT) & 63;
		if (!level && index >> shift >= XARRAY_SLOTS) {
			place.beyond = true;
			break;
		}
		place.shift = shift;
		if (!shift) {
			place.node = node;
			break;
		}
		place.entry = entry_in(node, index >> shift);
		if (!is_node(place.entry))
			break;
	}
	return place;
}

/*
 * Arguments: mapping, index (a multiple of XARRAY_SLOTS), slot or 0 to only count, whether to mark (charge.h), and the
 * file's key: inode, then device and generation. 0 if another file is there by now, 1 otherwise.
 */
int walk_file(struct bpf_raw_tracepoint_args *ctx)
{
	u64 mapping = ctx->args[0], index = ctx->args[1], zero = 0;
	struct file_walk *walk = file_walk.lookup((u32 *)&zero);
	struct file_key key = {};
	u64 inode = read_u64(mapping + MAPPING_HOST);
	read_file_key(&key, inode);
	if (!walk || key.inode != ctx->args[4] || ((u64)key.device << 32 | key.generation) != ctx->args[5])
		return 0;
	struct charge *charge = charges.lookup((u32 *)&zero);
	volatile struct place *place = places.lookup((u32 *)&zero);
	if (!charge || !place)
		return 0;
	*place = find_place(mapping, index);
	__builtin_memset(charge, 0, sizeof(*charge));
	charge->mapping = mapping;
	charge->slot = ctx->args[2] & SLOT_MASK;
	charge->mark = ctx->args[3];
	walk->pages = 0;
	walk->links = read_u32(inode + INODE_LINKS);
	u64 node = place->node, entry = place->entry, shift = place->shift, beyond = place->beyond;
	walk->next = beyond ? 0 : node ? index + XARRAY_SLOTS : ((index >> shift) + 1) << shift;
	if (shift && entry)
		walk->next = index + XARRAY_SLOTS;
	for (u32 i = 0; i < XARRAY_SLOTS && !place->beyond; i++) {
		u64 node = place->node, folio = node ? entry_in(node, i) : place->entry;
		if (!folio || folio & (XARRAY_VALUE | XARRAY_INTERNAL))
			continue;
		walk->pages++;
		if (charge->slot)
			charge_page(charge, folio, index + i);
		if (!node && !place->shift)
			break;
	}
	finish_charge(charge);
	walk->moved = charge->moved;
	walk->left = charge->left;
	return 1;
}

/* Argument: block. Which file each of its pages is of. */
int look_block(struct bpf_raw_tracepoint_args *ctx)
{
	u32 key = ctx->args[0], zero = 0;
	struct block *block = owners.lookup(&key);
	struct block_files *found = block_files.lookup(&zero);
	for (u32 i = 0; block && found && i < BLOCK_PAGES; i++) {
		u64 mapping = 0;
		if (block->word[i]) {
			u64 page = VMEMMAP_BASE + ((u64)key * BLOCK_PAGES + i) * PAGE_STRUCT_BYTES;
			u64 head = read_u64(page + PAGE_COMPOUND_HEAD);
			mapping = read_u64((head & 1 ? head - 1 : page) + PAGE_MAPPING);
		}
		found->mapping[i] = mapping & 3 ? 0 : mapping;
	}
	return 0;
}
