package kernel

import (
	"cmp"
	"slices"
	"strings"
)

// newest returns the greatest of names, of which there is at least one, in the order of [compareReleases].
func newest(names []string) string {
	return slices.MaxFunc(names, compareReleases)
}

// compareReleases orders releases the way people count them: runs of digits by their number, all else byte by byte, so 6.1.0-9 comes before 6.1.0-56.
func compareReleases(a, b string) int {
	for a != "" && b != "" {
		digitsA, digitsB := leadingDigits(a), leadingDigits(b)
		if digitsA == 0 || digitsB == 0 {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		numberA, numberB := strings.TrimLeft(a[:digitsA], "0"), strings.TrimLeft(b[:digitsB], "0")
		if order := cmp.Or(cmp.Compare(len(numberA), len(numberB)), strings.Compare(numberA, numberB)); order != 0 {
			return order
		}
		a, b = a[digitsA:], b[digitsB:]
	}
	return cmp.Compare(len(a), len(b))
}

// leadingDigits returns how many ASCII digits s begins with.
func leadingDigits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
