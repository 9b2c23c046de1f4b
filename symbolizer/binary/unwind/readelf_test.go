package unwind_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// A readelfRow is a line of readelf's interpretation of call frame information.
type readelfRow struct {
	loc         uint64
	cfa, fp, ra string // ra and fp are "" where readelf has no such column
}

// A readelfCode is what readelf says about one FDE.
type readelfCode struct {
	start, end uint64
	rows       []readelfRow
}

// readelfFrames returns what readelf says about all code of a file, ascending.
func readelfFrames(t testing.TB, path, fp string) []readelfCode {
	t.Helper()
	if all := readelfSection(t, path, ".eh_frame", fp); len(all) > 0 {
		return all
	}
	return readelfSection(t, path, ".debug_frame", fp)
}

// readelfSection returns what one section says.
func readelfSection(t testing.TB, path, section, fp string) []readelfCode {
	t.Helper()
	cmd := exec.Command(tool(t, "readelf"), "--debug-dump=frames-interp", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []readelfCode
	commons := make(map[string][]readelfRow) // by offset
	var columns []string
	var rows *[]readelfRow // of the CIE or FDE that is being read
	var common []readelfRow
	var offset string
	skip := true
	flush := func() {
		if offset != "" {
			commons[offset] = common
		}
		offset, common = "", nil
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// A register saved in another is printed as "r9 (r9)".
		fields := strings.Fields(strings.ReplaceAll(lines.Text(), " (", "("))
		switch {
		case len(fields) == 0, len(fields) > 1 && fields[1] == "ZERO":
		case strings.HasPrefix(lines.Text(), "Contents of the "):
			flush()
			clear(commons)
			rows, skip = nil, fields[3] != section
		case skip:
		case len(fields) > 3 && fields[3] == "CIE":
			flush()
			offset, rows = fields[0], &common
		case len(fields) > 3 && fields[3] == "FDE":
			flush()
			code := readelfCode{}
			var cie string
			for _, field := range fields[4:] {
				key, value, _ := strings.Cut(field, "=")
				switch key {
				case "cie":
					cie = value
				case "pc":
					from, to, _ := strings.Cut(value, "..")
					code.start, code.end = hexadecimal(t, from), hexadecimal(t, to)
				}
			}
			// Where the FDE adds nothing, readelf prints nothing.
			if known := commons[cie]; len(known) > 0 {
				code.rows = []readelfRow{known[len(known)-1]}
				code.rows[0].loc = code.start
			}
			all = append(all, code)
			rows = nil
		case fields[0] == "LOC":
			columns = fields
			if rows == nil {
				all[len(all)-1].rows = nil
				rows = &all[len(all)-1].rows
			}
		case rows == nil && offset == "" && (len(all) == 0 || columns == nil):
		default:
			if len(fields) != len(columns) {
				continue // a remark
			}
			row := readelfRow{loc: hexadecimal(t, fields[0])}
			for i, column := range columns {
				switch column {
				case "CFA":
					row.cfa = fields[i]
				case fp:
					row.fp = fields[i]
				case "ra":
					row.ra = fields[i]
				}
			}
			if rows != nil && row.cfa != "" {
				*rows = append(*rows, row)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it also complains about other things than these
	slices.SortStableFunc(all, func(a, b readelfCode) int { return cmp.Compare(a.start, b.start) })
	return all
}

func hexadecimal(t testing.TB, text string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatalf("readelf printed %q for a number", text)
	}
	return v
}

// A verdict counts what a comparison found.
type verdict struct {
	files, rows, exotic, wrong int
	inexpressible              int
}

func (v *verdict) add(o verdict) {
	v.files, v.rows, v.exotic, v.wrong = v.files+o.files, v.rows+o.rows, v.exotic+o.exotic, v.wrong+o.wrong
	v.inexpressible += o.inexpressible
}

// compare compares a table with what readelf says, at every address where one of
// them changes: the truth is that of the FDE that begins last before it.
func (v *verdict) compare(t testing.TB, path string, table *unwind.Table, all []readelfCode, m describer) {
	t.Helper()
	v.files++
	report := func(addr uint64, want string) {
		if v.wrong++; v.wrong <= 10 {
			t.Errorf("%s: %#x is %s, readelf says %s", path, addr, m.describe(table, addr), want)
		}
	}
	next := 0 // row of the table
	for i, code := range all {
		if code.start == code.end || i > 0 && all[i-1].start == code.start && all[i-1].end > code.start {
			continue
		}
		end := code.end
		if i+1 < len(all) && all[i+1].start > code.start {
			end = min(end, all[i+1].start)
		}
		for k, row := range code.rows {
			until := end
			if k+1 < len(code.rows) {
				until = min(end, code.rows[k+1].loc)
			}
			if row.loc >= until {
				continue
			}
			v.rows++
			ok, exotic := m.agrees(table, row.loc, row)
			if exotic {
				v.exotic++
			}
			if !ok {
				report(row.loc, fmt.Sprintf("cfa %s fp %s ra %s", row.cfa, row.fp, row.ra))
			}
			// Other rows within what is one line to readelf must say the same.
			for next < len(table.Rows) && table.Base+uint64(table.Rows[next].PC) <= row.loc {
				next++
			}
			for ; next < len(table.Rows) && table.Base+uint64(table.Rows[next].PC) < until; next++ {
				addr := table.Base + uint64(table.Rows[next].PC)
				if ok, exotic := m.agrees(table, addr, row); !ok || !exotic {
					report(addr, "that nothing changes there")
				}
			}
		}
		if i+1 == len(all) || all[i+1].start > end {
			if row := table.Lookup(end); row.Kind != unwind.KindNone {
				report(end, "that no code is there")
			}
		}
	}
	v.inexpressible += table.Statistics.Inexpressible
}

// A describer compares rows of a machine with readelf's words.
type describer struct {
	sp, fp string
	linked bool
}

func (m describer) describe(t *unwind.Table, addr uint64) string {
	row := t.Lookup(addr)
	text := fmt.Sprintf("kind %#x cfa %d fp %d", row.Kind, row.CFA, row.FP)
	if row.Kind&^unwind.InLinkRegister == unwind.KindWide {
		text += fmt.Sprintf(" wide %+v", t.Wide[uint16(row.CFA)])
	}
	return text
}

// agrees compares the rule at an address with readelf's. Readelf does not print
// expressions, so that there is no more to compare than that it is one.
func (m describer) agrees(t *unwind.Table, addr uint64, want readelfRow) (ok, exotic bool) {
	row := t.Lookup(addr)
	if row.Kind == unwind.KindEnd || want.ra == "u" && !m.linked {
		return row.Kind == unwind.KindEnd && want.ra == "u", false
	}
	switch {
	case row.Kind == unwind.KindSignal:
		return want.cfa == "exp" && want.fp == "exp" && want.ra == "exp", true
	case row.Kind == unwind.KindFPDeref, row.Kind == unwind.KindPLT:
		return want.cfa == "exp" && m.saved(want.fp, row) && want.ra == "c-8", true
	case row.Kind&^unwind.InLinkRegister == unwind.KindWide:
		return m.agreesWide(t.Wide[uint16(row.CFA)], want)
	}
	register := map[unwind.Kind]string{unwind.KindSP: m.sp, unwind.KindFP: m.fp}[row.Kind&^unwind.InLinkRegister]
	cfa := fmt.Sprintf("%s%+d", register, int(row.CFA)*8)
	ra := "c-8"
	if m.linked {
		ra = fmt.Sprintf("c%+d", int(row.FP)*8+8)
		if row.Kind&unwind.InLinkRegister != 0 {
			ra = "u"
			if want.ra == "" || want.ra == "s" {
				ra = want.ra
			}
		}
	}
	// Where the CFA is known from SP again, what was said of FP by itself is over.
	if want.fp == "exp" && row.Kind == unwind.KindSP && row.FP == 0 {
		return want.cfa == cfa && want.ra == ra, true
	}
	return want.cfa == cfa && m.saved(want.fp, row) && want.ra == ra, false
}

// saved compares where the frame pointer is.
func (m describer) saved(want string, row unwind.Row) bool {
	switch {
	case row.Kind == unwind.KindFPDeref && row.FP == 1:
		return want == "exp"
	case row.Kind == unwind.KindPLT, row.FP == 0:
		return want == "" || want == "u" || want == "s"
	}
	return want == fmt.Sprintf("c%+d", int(row.FP)*8)
}

func (m describer) agreesWide(w unwind.Wide, want readelfRow) (ok, exotic bool) {
	if w.Flags&unwind.WideInexpressible != 0 {
		plain := strings.HasPrefix(want.cfa, m.sp) || strings.HasPrefix(want.cfa, m.fp)
		unusual := func(s string) bool { return s != "" && s != "u" && s != "s" && !strings.HasPrefix(s, "c") }
		return !plain || unusual(want.fp) || unusual(want.ra) || want.ra == "", true
	}
	var fp string
	switch {
	case w.Flags&unwind.WideFPSaved != 0:
		fp = fmt.Sprintf("c%+d", w.FP)
	case w.Flags&unwind.WideFPAtFP != 0:
		fp = "exp"
	case want.fp == "" || want.fp == "u" || want.fp == "s":
		fp = want.fp
	}
	ra := fmt.Sprintf("c%+d", w.RA)
	if w.Flags&unwind.WideInLinkRegister != 0 && (want.ra == "u" || want.ra == "" || want.ra == "s") {
		ra = want.ra
	}
	// Behind a call, BX is where the function called has saved it.
	if w.Flags&unwind.WideDeref != 0 && strings.HasPrefix(want.cfa, "rbx") && m.register(w.CFARegister) == m.sp && w.CFA < 0 {
		return want.cfa == fmt.Sprintf("rbx%+d", w.After) && want.fp == fp && want.ra == ra, true
	}
	if w.Flags&unwind.WideDeref != 0 {
		return want.cfa == "exp" && want.fp == fp && want.ra == ra, true
	}
	cfa := fmt.Sprintf("%s%+d", m.register(w.CFARegister), w.CFA)
	return want.cfa == cfa && want.fp == fp && want.ra == ra, m.register(w.CFARegister) == "rbx" || w.Flags&unwind.WideFPAtFP != 0
}

// register is readelf's name of a register.
func (m describer) register(number uint8) string {
	if m.linked {
		if number == 31 {
			return m.sp
		}
		return fmt.Sprintf("x%d", number)
	}
	names := []string{"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"}
	if int(number) < len(names) {
		return names[number]
	}
	return fmt.Sprintf("r%d", number)
}

// elfFiles returns the ELF files of this host's programs and libraries, each
// file once, by name.
func elfFiles(t testing.TB) []string {
	t.Helper()
	var found []string
	seen := make(map[string]bool)
	for _, root := range []string{"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local", "/lib64", "/usr/aarch64-linux-gnu"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			real, err := filepath.EvalSymlinks(path)
			if err == nil && !seen[real] && isELF(real) {
				found = append(found, real)
			}
			seen[real] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	return found
}

// isELF reports whether a file is an executable or shared object.
func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [18]byte
	if n, _ := f.ReadAt(head[:], 0); n < len(head) {
		return false
	}
	return string(head[:4]) == "\x7fELF" && (head[16] == 2 || head[16] == 3)
}

// TestAgainstReadelf compares the rows of this host's binaries with readelf's
// interpretation: a sample of them, or all if NARROWS_TEST_FULL is set.
func TestAgainstReadelf(t *testing.T) {
	tool(t, "readelf")
	files := elfFiles(t)
	if os.Getenv("NARROWS_TEST_FULL") == "" {
		files = sample(files, 40, 4<<20)
		files = append(files, systemFiles("/lib/*/libc.so.6", "/lib/*/libcrypto.so.3", "/usr/bin/python3.11", "/lib*/*/ld-linux-*.so.*", "/lib/*/libm.so.6")...)
	}
	work := make(chan string)
	var total verdict
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for path := range work {
				v := againstReadelf(t, path)
				mu.Lock()
				total.add(v)
				mu.Unlock()
			}
		})
	}
	for _, path := range files {
		work <- path
	}
	close(work)
	group.Wait()
	t.Logf("%d files, %d rows of readelf compared, %d with expressions, %d rows not expressible, %d disagreements",
		total.files, total.rows, total.exotic, total.inexpressible, total.wrong)
	if total.files < 20 || total.rows < 50_000 || total.exotic == 0 {
		t.Errorf("only %d files with %d rows, %d of them with expressions: too few to show anything", total.files, total.rows, total.exotic)
	}
}

func againstReadelf(t testing.TB, path string) (v verdict) {
	file, err := openELF(t, path)
	if err != nil {
		t.Errorf("opening %s: %v", path, err)
		return v
	}
	m, ok := describers[file.Machine()]
	if !ok || !file.Wide() {
		return v
	}
	if _, err := file.GoTable(); err == nil {
		return v // rows of Go's table come on top, and have a test of their own
	}
	table, err := unwind.Compile(file, unwind.Limits{})
	truth := readelfFrames(t, path, m.fp)
	if err != nil {
		if len(truth) > 0 || !errors.Is(err, unwind.ErrNoTable) {
			t.Errorf("%s: %v, but readelf knows %d FDEs", path, err, len(truth))
		}
		return v
	}
	v.compare(t, path, table, truth, m)
	return v
}

var describers = map[uint16]describer{
	62:  {sp: "rsp", fp: "rbp"},
	183: {sp: "sp", fp: "x29", linked: true},
}

// sample returns about n of the files up to a size, evenly spread.
func sample(files []string, n int, size int64) []string {
	files = slices.DeleteFunc(slices.Clone(files), func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.Size() > size
	})
	var picked []string
	for i := 0; i < len(files); i += max(1, len(files)/n) {
		picked = append(picked, files[i])
	}
	return picked
}
