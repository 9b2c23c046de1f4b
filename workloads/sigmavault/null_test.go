package sigmavault

import (
	"fmt"
	"testing"
)

// The null server's memory is bounded, and what came last is there.
func TestKeptUnitsAreBounded(t *testing.T) {
	k := &keptUnits{most: 100, units: make(map[string][]byte)}
	for i := range 50 {
		k.put(fmt.Sprint(i), make([]byte, 30))
		k.put(fmt.Sprint(i), make([]byte, 20+i%2)) // a new version takes its place
		if content, ok := k.get(fmt.Sprint(i)); !ok || len(content) != 20+i%2 {
			t.Fatalf("unit %d has %d bytes", i, len(content))
		}
		held := 0
		for _, content := range k.units {
			held += len(content)
		}
		if held != k.bytes || held > 100 || len(k.order) != len(k.units) || i > 4 && len(k.units) < 3 {
			t.Fatalf("%d bytes in %d units, counted are %d in %d", held, len(k.units), k.bytes, len(k.order))
		}
	}
}
