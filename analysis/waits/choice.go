package waits

import (
	"cmp"
	"slices"
	"strings"
)

// choice is a part of what a role did: a wait for others, or something of its own.
type choice struct {
	role Role
	doing
	ns  float64
	way *arc // nil if it waited for no thread that is known
}

// remark tells that it says why nothing is known, or that nothing was done, in the place of a
// function.
func (c choice) remark() bool {
	return c.way == nil && strings.HasPrefix(c.function, "[") && strings.Contains(c.function, " ")
}

// where is the program's function that a choice is about.
func (c choice) where() string { return cmp.Or(c.caller, c.function) }

// step is all choices that lead to the same place: a wait, or a function of the program in
// which the role ran, waited for a CPU or was asleep.
type step struct {
	choice // the largest
	parts  []choice
	ns     float64
}

type stepKey struct {
	role  Role
	way   arc
	where string
}

// steps puts choices together.
func steps(choices []choice) []step {
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.ns, a.ns), compareDoings(a.doing, b.doing), compareRoles(a.role, b.role))
	})
	at := map[stepKey]int{}
	var list []step
	for _, c := range choices {
		key := stepKey{role: c.role}
		if c.way != nil {
			key.way = *c.way
		} else {
			key.where = c.where()
			if waitsForThreads[c.state] {
				key.where = c.state + " " + key.where
			}
		}
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, step{choice: c})
		}
		list[i].parts = append(list[i].parts, c)
		list[i].ns += c.ns
	}
	slices.SortStableFunc(list, func(a, b step) int { return cmp.Compare(b.ns, a.ns) })
	return list
}

// largest is the largest step of all, and its part of them. What has no place comes only
// before those that have one if it is more than these together.
func largest(choices []choice) (step, float64) {
	list := steps(choices)
	if len(list) == 0 {
		return step{}, 0
	}
	var all, known float64
	for _, s := range list {
		all += s.ns
		if !s.remark() {
			known += s.ns
		}
	}
	most := list[0]
	if most.remark() && known >= most.ns {
		most = list[slices.IndexFunc(list, func(s step) bool { return !s.remark() })]
	}
	return most, share(most.ns, all)
}
