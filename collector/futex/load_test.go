package futex

import (
	"testing"

	"github.com/narrows-profiler/narrows/collector/core"
)

func TestLoads(t *testing.T) {
	c, err := core.Load(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w, err := Open(c)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer w.Close()
	n := 0
	if err := w.Read(0, func(s Sums) { n++; t.Logf("%+v", s) }); err != nil {
		t.Fatal(err)
	}
}
