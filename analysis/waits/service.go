package waits

import "slices"

// Of is the part of a document that is of one service; false if there is none. Where
// threads waited is not known by service.
func (d *Document) Of(service string) (*Document, bool) {
	kept := *d
	kept.States, kept.Unavailable = []State{}, map[string]string{"states": "they are of all processes, not of one service"}
	kept.LocksOmitted, kept.EdgesOmitted = Omitted{}, Omitted{}
	kept.Locks = filter(d.Locks, func(l Lock) bool { return l.Service == service })
	kept.Edges = filter(d.Edges, func(e Edge) bool { return e.Waiter.Service == service })
	kept.Chains = filter(d.Chains, func(c Chain) bool {
		return slices.ContainsFunc(c.Hops, func(h Hop) bool { return h.Waiter.Service == service })
	})
	kept.Convoys = filter(d.Convoys, func(c Convoy) bool {
		return slices.ContainsFunc(kept.Locks, func(l Lock) bool { return l.ID == c.Lock })
	})
	kept.Deadlocks = filter(d.Deadlocks, func(l Deadlock) bool {
		return slices.ContainsFunc(l.Members, func(m Member) bool { return m.Thread.Service == service })
	})
	return &kept, len(kept.Locks)+len(kept.Edges)+len(kept.Chains)+len(kept.Deadlocks) > 0
}

func filter[T any](list []T, keep func(T) bool) []T {
	kept := []T{}
	for _, x := range list {
		if keep(x) {
			kept = append(kept, x)
		}
	}
	return kept
}
