package llama

import (
	"runtime"
	"strings"
	"testing"
)

// TestWorkHappensUnderItsName replaces the matrix product by one that looks at
// the stack: each product must come from a function of the name that a reader
// of a profile expects, which the compiler has kept apart from its caller.
func TestWorkHappensUnderItsName(t *testing.T) {
	c := shapes[3].Config
	m, _ := randomModel(t, c, 1)
	seen := make(map[string]int)
	m.matmul = func(dst, x, w []float32, n, rows, cols int) {
		var pcs [16]uintptr
		frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
		caller, _ := frames.Next()
		if caller.Func == nil {
			t.Errorf("%s is part of its caller", caller.Function)
		}
		_, name, _ := strings.Cut(caller.Function, "llama.")
		seen[name] += n
		matmul(dst, x, w, n, rows, cols)
	}
	const tokens = 10
	if _, err := m.NewSequence().Forward(t.Context(), randomTokens(c, tokens, 1)); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"(*Sequence).attention":   4 * tokens * c.Layers, // query, key, value, output
		"(*Sequence).feedForward": 3 * tokens * c.Layers, // gate, up, down
		"(*Sequence).logits":      1,                     // of the last token only
	}
	for name, n := range want {
		if seen[name] != n {
			t.Errorf("%s multiplied %d rows, want %d", name, seen[name], n)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("products under the names %v", seen)
	}
}
