package waits

// What makes a lock's waiters a convoy: several threads queue, they take turns, and all
// of them together wait much longer than the lock is held.
const (
	convoyWaiters = 3
	convoyHolders = 3
	// convoyTurn is the most that one thread may be waited for of all.
	convoyTurn = 0.8
	// convoyQueue is how many threads wait on average while one holds.
	convoyQueue = 2.0
	// convoyNS keeps what nobody would notice out.
	convoyNS = 10e6
)

// convoy tells whether threads queue before a lock.
func convoy(l *lockSum) (Convoy, bool) {
	waited := l.TotalNS - l.idleNS
	if l.HeldNS <= 0 || waited < convoyNS || len(l.Waiters) < convoyWaiters {
		return Convoy{}, false
	}
	holders := map[uint32]float64{}
	for k, a := range l.blamed.of {
		holders[k.thread.TID] += a.ns
	}
	for _, ns := range holders {
		if share(ns, l.blamed.total.ns) > convoyTurn {
			return Convoy{}, false
		}
	}
	c := Convoy{Lock: l.ID, Queue: waited / l.HeldNS, Waiters: len(l.Waiters), Holders: len(holders), TotalNS: whole(waited), HeldNS: whole(l.HeldNS)}
	return c, len(holders) >= convoyHolders && c.Queue >= convoyQueue
}
