package binary_test

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"testing"
)

type nmSymbol struct {
	addr uint64
	name string
}

// nm returns what nm says about a file.
func nm(t testing.TB, path string) []nmSymbol {
	t.Helper()
	var symbols []nmSymbol
	for _, flags := range [][]string{{path}, {"-D", path}} {
		lines := bufio.NewScanner(bytes.NewReader(run(t, "nm", flags...)))
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) != 3 {
				continue
			}
			addr, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil {
				t.Fatalf("nm printed %q", lines.Text())
			}
			symbols = append(symbols, nmSymbol{addr, fields[2]})
		}
	}
	return symbols
}

// TestAssembly checks how far symbols without a size reach.
func TestAssembly(t *testing.T) {
	path := compileC(t, "-O1", "-fPIE", "-pie")
	symbols, err := openFile(t, path).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]uint64)
	for _, s := range nm(t, path) {
		at[s.name] = s.addr
	}
	for _, test := range []struct {
		symbol string
		offset uint64
		want   string
	}{
		{"sizeless_function", 0, "sizeless_function"},
		{"sizeless_function", 3, "sizeless_function"},
		{"sizeless_function", 4, "bare_label"},
		{"bare_label", 1, "bare_label"},
		{"bare_label", 2, "sized_assembly"},
		{"inner_label", 0, "sized_assembly"}, // within a function that has a size
		{"inner_label", 1, "sized_assembly"},
		{"inner_label", 2, ""}, // past its end
		{"inner_label", 5, ""},
	} {
		addr, ok := at[test.symbol]
		if !ok {
			t.Fatalf("nm does not know %s", test.symbol)
		}
		if got := nameAt(t, symbols, addr+test.offset); got != test.want {
			t.Errorf("%s+%d is named %q, want %q", test.symbol, test.offset, got, test.want)
		}
	}
}
