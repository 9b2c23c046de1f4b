package vault

import "github.com/narrows-profiler/narrows/workloads/plant"

// The faults that a vault can be opened with.
const (
	LockedFsync    = "locked-fsync"
	RewrittenIndex = "rewritten-index"
	RankedReads    = "ranked-reads"
	FreshMappings  = "fresh-mappings"
)

// Faults lists them.
func Faults() []plant.Fault {
	return []plant.Fault{
		{
			Name: LockedFsync, Place: "vault.(*Vault).putLocked", Signal: plant.Lock,
			Benchmark: "RSUWriteBenchmark", Metric: "write_p50_ms",
			Fault: "One lock is held around each operation, and a write encrypts, writes and waits for the disk under it.",
			Fix:   "Writers encrypt outside of any lock, and those that come while the disk is being flushed share the next flush.",
		},
		{
			Name: RewrittenIndex, Place: "vault.(*index).writeIndex", Signal: plant.CPU,
			Benchmark: "RSUWriteBenchmark", Metric: "write_p50_ms",
			Fault: "A JSON index of all units is rewritten whole at each flush.",
			Fix:   "A unit's record is written in the same transaction as its chunks, and nothing else is.",
		},
		{
			Name: RankedReads, Place: "vault.(*rankedCache).warm", Signal: plant.Lock,
			Benchmark: "RSUReadBenchmark", Metric: "read_p50_ms",
			Fault: "The cache is a table under a lock for readers and writers, and each read of a chunk takes it for writing too, to compute the heat of all chunks and to rank them by it: readers that would not disturb each other wait for that.",
			Fix:   "The cache notes uses in passing, by a sketch of how frequent they are, and no reader waits for a lock.",
		},
		{
			Name: FreshMappings, Place: "vault.mapSecret", Signal: plant.Alloc,
			Benchmark: "RSUReadBenchmark", Metric: "read_p50_ms",
			Fault: "What a read decrypts passes through 8 MiB of memory that is mapped for this read alone, wiped, and given back, so that each of its 2,048 pages costs a page fault.",
			Fix:   "Chunks are handed on in the memory that they were decrypted into.",
		},
	}
}

// putLocked is Put with the fault: whoever writes keeps everybody else waiting for
// the disk.
func (v *Vault) putLocked(u *Unit) (Record, error) {
	v.global.Lock()
	defer v.global.Unlock()
	return v.put(u, v.flushAlone)
}

// deleteLocked is Delete with the fault.
func (v *Vault) deleteLocked(id string) error {
	v.global.Lock()
	defer v.global.Unlock()
	w := &write{id: id}
	if err := v.flushAlone(w); err != nil {
		return err
	}
	v.cache.drop(w.replaced)
	return nil
}

// flushAlone makes one write durable by a flush of its own.
func (v *Vault) flushAlone(w *write) error {
	err := v.flush([]*write{w})
	v.commit.groups.Add(1)
	v.commit.writes.Add(1)
	if err == nil {
		err = w.err
	}
	return err
}

// lockGlobal takes the lock that all operations share with the fault and returns how
// to give it back.
func (v *Vault) lockGlobal() (unlock func()) {
	if v.global == nil {
		return func() {}
	}
	v.global.Lock()
	return v.global.Unlock
}
