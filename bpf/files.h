/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that are charged to containers: their pages count with the slot that the agent entered, whoever touches them
 * first. A host without such files pays for one look at a number.
 */

static __always_inline void read_file_key(struct file_key *key, u64 inode)
{
	key->inode = read_u64(inode + INODE_NUMBER);
	key->device = read_u32(read_u64(inode + INODE_SUPER_BLOCK) + SUPER_BLOCK_DEVICE);
	key->generation = read_u32(inode + INODE_GENERATION);
}

/* Most files are told by their inode number alone not to be among them. */
static __always_inline bool may_be_charged(u64 inode)
{
	u64 number = read_u64(inode + INODE_NUMBER), at = number / 64 & (FILTER_WORDS - 1);
	u64 *bits = file_filter.lookup((u32 *)&at);
	return bits && *bits >> (number & 63) & 1;
}

static __always_inline u32 find_file_slot(u64 mapping)
{
	u64 inode = read_u64(mapping + MAPPING_HOST);
	if (!may_be_charged(inode))
		return SLOT_NONE;
	struct file_key key = {};
	read_file_key(&key, inode);
	struct file *file = files.lookup(&key);
	if (!file)
		return SLOT_NONE;
	u64 number = file->slot;
	struct slot *slot = slots.lookup((u32 *)&number);
	if (!slot || slot->state != SLOT_LIVE || slot->cgroup_id != file->cgroup_id)
		return SLOT_NONE; /* its container is gone */
	if (file->mapping != mapping)
		file->mapping = mapping;
	return number & SLOT_MASK;
}

static __always_inline bool any_file(void)
{
	struct state *host = host_state();
	return host && host->files;
}

/* The slot that a file's pages are charged to, or SLOT_NONE: whoever touches them pays. */
static __always_inline u32 file_slot(u64 mapping)
{
	return any_file() ? find_file_slot(mapping) : SLOT_NONE;
}

/* A page of a charged file goes. With the last name and the last user gone, so does the file: nothing may inherit. */
static __always_inline void file_page_goes(u64 mapping)
{
	u64 inode = read_u64(mapping + MAPPING_HOST);
	if (!inode || read_u32(inode + INODE_LINKS) || read_u32(inode + INODE_USERS))
		return;
	struct file_key key = {};
	read_file_key(&key, inode);
	struct state *host = host_state();
	if (!host || files.delete(&key))
		return;
	__sync_fetch_and_add(&host->files_gone, 1);
}
