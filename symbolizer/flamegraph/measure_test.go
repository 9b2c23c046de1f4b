package flamegraph

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		v    int64
		unit string
		want string
	}{
		{0, "nanoseconds", "0 ns"}, {999, "nanoseconds", "999 ns"}, {1501, "nanoseconds", "1.501 us"},
		{12_345_678, "nanoseconds", "12.35 ms"}, {59_000_000_000, "nanoseconds", "59 s"},
		{90, "seconds", "1.5 min"}, {7200, "seconds", "2 h"}, {250, "milliseconds", "250 ms"}, {100, "microseconds", "100 us"},
		{1023, "bytes", "1023 B"}, {1536, "bytes", "1.5 KiB"}, {1 << 40, "bytes", "1 TiB"}, {2048, "kilobytes", "2 MiB"},
		{1234567, "count", "1,234,567"}, {123456, "", "123,456"}, {12, "count", "12"}, {1000, "widgets", "1,000 widgets"},
	} {
		if got := (measure{unit: c.unit}).format(c.v); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"main.(*T[…]).Do": "main.(*T[…]).Do", "a\x00b": "a\ufffdb", "a\xffb": "a\ufffdb",
		"a\u202eb": "a\ufffdb", "a\nb": "a\ufffdb", "é 漢 𝔘": "é 漢 𝔘",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	long := printable("begin" + strings.Repeat("漢", 5000) + "end")
	if n := utf8.RuneCountInString(long); n != maxText || !strings.HasPrefix(long, "begin") || !strings.HasSuffix(long, "end") || !strings.Contains(long, "…") {
		t.Errorf("a long name became %d characters: %s", n, long)
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"main", 4, "main"}, {"main", 3, "ma…"}, {"main", 2, ""}, {"main", -1, ""}, {"ab", 2, "ab"},
		{"github.com/a/b.(*T).Do", 30, "github.com/a/b.(*T).Do"}, {"github.com/a/b.(*T).Do", 10, "b.(*T).Do"}, {"github.com/a/b.(*T).Do", 6, "b.(*T…"},
		{"f[github.com/a/b.T]", 8, "f[githu…"}, {"operator/(a, b)", 8, "operato…"}, {"漢字漢字", 3, "漢字…"},
	} {
		if got := fit(c.name, c.n); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
}
