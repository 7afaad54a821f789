/* SPDX-License-Identifier: GPL-2.0-only */
/* The rows of a slot: what the rare programs add to them, what they come to, and how a slot gets rid of them. */

/* What the rare programs do to a slot. Without branches, because it stands in loops that the verifier walks through. */
static __always_inline void adjust(u32 word, s64 pages)
{
	struct row *row = row_of(word);
	if (!row)
		return;
	s64 anon = !!(word & OWNER_ANON), shmem = !!(word & OWNER_SHMEM), file = !!(word & OWNER_FILE) | shmem;
	s64 mapped = !!(word & OWNER_MAPPED);
	__sync_fetch_and_add(&row->adjust_anon, anon * pages);
	__sync_fetch_and_add(&row->adjust_file, file * pages);
	__sync_fetch_and_add(&row->adjust_shmem, shmem * pages);
	__sync_fetch_and_add(&row->adjust_mapped, mapped * pages);
}

static __always_inline void adjust_and_publish(u32 word, s64 pages)
{
	adjust(word, pages);
	if (word & OWNER_TYPE)
		publish_pages(word & SLOT_MASK, pages);
}

static __always_inline void take_and_publish(u32 word, s64 pages)
{
	adjust(word, -pages);
	if (word & OWNER_TYPE)
		carry_pages(word & SLOT_MASK, -pages, false);
}

/* After a column of a row went from old to new: tell the ancestors whole batches. */
static __always_inline void publish_column(u32 slot, s64 old, s64 new, int sign)
{
	s64 pages = (new & ~(s64)(BATCH - 1)) - (old & ~(s64)(BATCH - 1));
	if (pages)
		carry_pages(slot, sign * pages, sign > 0);
}

/* What is counted in a slot, all CPUs together. */
struct sums {
	s64 anon;
	s64 file;
	s64 shmem;
	s64 mapped;
	s64 counted; /* pages that ancestors hear of in batches */
	s64 told;    /* those that they have heard of */
};

static __always_inline void add_row(struct sums *sums, struct row *row)
{
	s64 whole = ~(s64)(BATCH - 1);
	sums->anon += row->alloc_anon - row->free_anon - row->add_from_anon + row->adjust_anon;
	sums->file += row->add_file + row->add_from_anon - row->free_file - row->delete_file + row->adjust_file;
	sums->shmem += row->shmem - row->free_shmem - row->delete_shmem + row->adjust_shmem;
	sums->mapped += row->mapped + row->adjust_mapped;
	sums->counted += row->alloc_anon + row->add_file - row->free_anon - row->free_file - row->delete_file;
	sums->told += (row->alloc_anon & whole) + (row->add_file & whole) - (row->free_anon & whole) -
		      (row->free_file & whole) - (row->delete_file & whole);
}

/*
 * Pages that the ancestors have not heard of yet. Not summed as such: of sums of remainders the verifier knows the
 * bounds, others for each number of CPUs, and would follow everything that comes after once for each.
 */
static __always_inline s64 held_back(struct sums *sums)
{
	return sums->counted - sums->told;
}

/*
 * Loops over a slot's rows end where there is none, which never happens, because going on would give the verifier as many
 * ways through as there are CPUs.
 */

/* Whether any page was ever counted in a slot since it was taken. */
static __always_inline bool ever_counted(u32 slot)
{
	u64 seen = 0;
	for (u32 cpu = 0; cpu < CPUS; cpu++) {
		u32 key = cpu * SLOTS + slot;
		struct row *row = rows.lookup(&key);
		if (!row)
			return true;
		seen |= row->alloc_anon | row->add_file | row->mapped | row->adjust_anon | row->adjust_file |
			row->inherited;
	}
	return seen;
}

static __always_inline struct sums sums_of(u32 slot)
{
	struct sums sums = {};
	for (u32 cpu = 0; cpu < CPUS; cpu++) {
		u32 key = cpu * SLOTS + slot;
		struct row *row = rows.lookup(&key);
		if (!row)
			break;
		add_row(&sums, row);
	}
	return sums;
}

/*
 * Let a slot begin at zero again. What it still holds goes to its heir; the ancestors, the heir among them, hear only of
 * what was held back.
 */
static __always_inline void clear_rows(u32 slot, u32 heir)
{
	struct sums sums = {};
	for (u32 cpu = 0; cpu < CPUS; cpu++) {
		u32 key = cpu * SLOTS + slot;
		struct row *row = rows.lookup(&key);
		if (!row)
			break;
		add_row(&sums, row);
		__builtin_memset(row, 0, sizeof(*row));
	}
	publish_pages(slot, held_back(&sums));
	struct row *row = heir ? row_of(heir) : NULL;
	if (!row)
		return;
	__sync_fetch_and_add(&row->adjust_anon, sums.anon);
	__sync_fetch_and_add(&row->adjust_file, sums.file);
	__sync_fetch_and_add(&row->adjust_shmem, sums.shmem);
	__sync_fetch_and_add(&row->adjust_mapped, sums.mapped);
	__sync_fetch_and_add(&row->inherited, 1);
}
