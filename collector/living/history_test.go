package living

import "testing"

// TestHistory: of a place that grows by one in each second of an hour, any length keeps
// readings that say so, and spread evenly.
func TestHistory(t *testing.T) {
	for _, seconds := range []uint64{1, 5, 63, 64, 65, 200, 3600} {
		h := New[string](1e9)
		for s := uint64(1); s <= seconds; s++ {
			lives := map[string]Amount{"grows": {float64(s), 10 * float64(s)}}
			if s%2 == 0 {
				lives["comes and goes"] = Amount{1, 1}
			}
			if s > seconds/2 {
				lives["late"] = Amount{1, 7}
			}
			h.Add(s*1e9+s, lives)
		}
		readings := h.Of("grows")
		if len(readings) > maxReadings || uint64(len(readings)) < min(seconds, maxReadings/2) {
			t.Errorf("%d readings of %d s", len(readings), seconds)
		}
		for i, r := range readings {
			if want := float64(r.Time / 1e9); r.Objects != want || r.Bytes != 10*want {
				t.Errorf("after %d s: %+v, want %v", r.Time/1e9, r, want)
			}
			if i > 1 && r.Time-readings[i-1].Time != readings[1].Time-readings[0].Time {
				t.Errorf("readings at %d, %d and %d s", readings[0].Time/1e9, readings[i-1].Time/1e9, r.Time/1e9)
			}
		}
		for _, r := range h.Of("late") {
			if late := r.Time/1e9 > seconds/2; late != (r.Bytes == 7) {
				t.Errorf("of %d s: after %d s %v bytes live", seconds, r.Time/1e9, r.Bytes)
			}
		}
		if len(h.Of("unknown")) != len(readings) {
			t.Error("what is not known has other times")
		}
	}
}

func TestBounded(t *testing.T) {
	h := New[int](1)
	lives := map[int]Amount{}
	for i := range maxPlaces + 7 {
		lives[i] = Amount{1, 1}
	}
	h.Add(1, lives)
	if h.Refused() != 7 || len(h.places) != maxPlaces {
		t.Errorf("%d places, %d refused", len(h.places), h.Refused())
	}
	for time := range uint64(10 * maxReadings) {
		h.Add(time+2, nil)
	}
	if len(h.places) != 0 {
		t.Errorf("%d places of which nothing lives are remembered", len(h.places))
	}
}
