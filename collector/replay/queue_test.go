package replay

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order of arrival, events come out by time, those of one time as
// they came, and none too early.
func TestReleaseIsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOf(rapid.Uint64Range(0, 50)).Draw(t, "times")
		cut := rapid.Uint64Range(0, 60).Draw(t, "cut")
		var q Queue[int]
		for i, time := range times {
			q.Push(time, i)
		}
		var got []int
		q.Release(cut, func(time uint64, i int) {
			if time >= cut || times[i] != time {
				t.Fatalf("event %d of time %d came out at %d before %d", i, times[i], time, cut)
			}
			got = append(got, i)
		})
		var want []int
		for i, time := range times {
			if time < cut {
				want = append(want, i)
			}
		}
		slices.SortStableFunc(want, func(a, b int) int { return int(times[a]) - int(times[b]) })
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if q.Len() != len(times)-len(want) {
			t.Fatalf("%d held, want %d", q.Len(), len(times)-len(want))
		}
	})
}

func TestLateIsCounted(t *testing.T) {
	var q Queue[string]
	q.Release(10, func(uint64, string) {})
	q.Push(9, "late")
	q.Push(10, "in time")
	if q.Late() != 1 {
		t.Errorf("%d late, want 1", q.Late())
	}
}
