package unwind

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// Ranges taken and given back by chance never overlap, and when all are given back
// there is one free range again.
func TestSpaceByChance(t *testing.T) {
	const size = 1000
	random := rand.New(rand.NewPCG(3, 4))
	s := newSpace(1, size)
	var taken [size]bool
	var held []span
	for range 20_000 {
		if random.IntN(2) == 0 && len(held) > 0 {
			i := random.IntN(len(held))
			s.give(held[i].at, held[i].n)
			for k := range held[i].n {
				taken[held[i].at+k] = false
			}
			held = slices.Delete(held, i, i+1)
			continue
		}
		n := 1 + random.IntN(60)
		at, ok := s.take(n)
		if !ok {
			continue
		}
		for k := range n {
			if at+k < 1 || at+k >= size || taken[at+k] {
				t.Fatalf("%d was given out, and is taken or outside", at+k)
			}
			taken[at+k] = true
		}
		held = append(held, span{at, n})
	}
	for _, h := range held {
		s.give(h.at, h.n)
	}
	if len(s.free) != 1 || s.left() != size-1 || s.size != size-1 {
		t.Errorf("free at the end: %v", s.free)
	}
}

// The index leads to the few rows among which an address's row is.
func TestIndexByChance(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, most := range []uint64{2, 64, 4096, 1 << 20} {
		rows := []rules.Row{{}}
		for range 2000 {
			pc := uint64(rows[len(rows)-1].PC) + 1 + random.Uint64N(most)
			rows = append(rows, rules.Row{PC: uint32(pc)})
		}
		shift, first := index(rows)
		last := rows[len(rows)-1].PC
		for range 5000 {
			pc := uint32(random.Uint64N(uint64(last) + 1))
			want, found := slices.BinarySearchFunc(rows, pc, func(r rules.Row, pc uint32) int { return int(int64(r.PC) - int64(pc)) })
			if !found {
				want--
			}
			if low, high := first[pc>>shift], first[pc>>shift+1]; want < int(low) || want > int(high) {
				t.Fatalf("steps of %d: address %d has row %d, the index says %d to %d", most, pc, want, low, high)
			}
		}
		if len(first) > len(rows)/rowsPerStretch+20 {
			t.Errorf("steps of %d: %d entries for %d rows", most, len(first), len(rows))
		}
	}
}

// library compiles a shared object of so many functions, each with a frame.
func library(t *testing.T, name string, count int) *binary.File {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: ", err)
	}
	var source bytes.Buffer
	fmt.Fprintf(&source, "int f(int);\n")
	for i := range count {
		fmt.Fprintf(&source, "int %s_%d(int x) { return f(x + %d) + x; }\n", name, i, i)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "l.c"), source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".so")
	if out, err := exec.Command(gcc, "-O2", "-shared", "-fPIC", "-o", path, filepath.Join(dir, "l.c")).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := binary.Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Room for one table: a second one is refused as long as the first is used, and then
// takes its place; user space has both all the time.
func TestTablesWithinBudget(t *testing.T) {
	tables := newTables(
		shared[uint64]{elements: make([]uint64, 3000)},
		shared[bpf.CoreUnwindFile]{elements: make([]bpf.CoreUnwindFile, 16)},
	)
	defer func() {
		close(tables.wishes)
		tables.wait.Wait()
	}()
	numbers := map[string]int{}
	for i, name := range []string{"a", "b"} {
		numbers[name] = tables.number(library(t, name, 400+i))
	}
	state := func(name string) bpf.CoreUnwindFileState {
		return bpf.CoreUnwindFileState(tables.files.elements[numbers[name]].State)
	}
	load := func(name string) { tables.load(tables.numbers[numbers[name]]) }
	load("a")
	if state("a") != bpf.CoreUnwindFileStateFILE_LOADED {
		t.Fatalf("the first table is in state %d: %v", state("a"), tables.Statistics())
	}
	load("b")
	if state("a") != bpf.CoreUnwindFileStateFILE_LOADED || state("b") != bpf.CoreUnwindFileStateFILE_ABSENT || tables.Statistics().NoRoom != 1 {
		t.Fatalf("states %d and %d while the first is used: %v", state("a"), state("b"), tables.Statistics())
	}
	if tables.wants(uint32(numbers["b"])) {
		t.Error("a table that found no room is asked for again at once")
	}
	if !tables.has(tables.numbers[numbers["b"]]) {
		t.Error("user space does not have the table that found no room")
	}
	tables.files.elements[numbers["a"]].Used = 0 // long ago
	tables.numbers[numbers["b"]].refused = time.Time{}
	load("b")
	if state("a") != bpf.CoreUnwindFileStateFILE_ABSENT || state("b") != bpf.CoreUnwindFileStateFILE_LOADED || tables.Statistics().PutOut != 1 {
		t.Fatalf("states %d and %d after the first was not used: %v", state("a"), state("b"), tables.Statistics())
	}
	for _, name := range []string{"a", "b"} {
		x := tables.numbers[numbers[name]]
		tables.compile(x)
		table := x.heap
		if table == nil {
			table = &x.loaded
		}
		fresh, err := rules.Compile(x.file, rules.Limits{})
		if err != nil || !slices.Equal(fresh.Rows, table.Rows) || !slices.Equal(fresh.Wide, table.Wide) {
			t.Errorf("the table of %s is not what was compiled: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	record := func(size, other uint32) []byte {
		var raw bpf.CoreStackMemory
		raw.Size, raw.OtherSize = size, other
		whole := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
		return append([]byte(nil), whole[:bytesOffset+uintptr(size+other)]...)
	}
	f.Add(record(0, 0))
	f.Add(record(64, 0))
	f.Add(record(64, 32))
	f.Add(record(64, 32)[:bytesOffset+10])
	f.Fuzz(func(t *testing.T, record []byte) {
		m, err := Decode(record)
		if err == nil && m.Size() > len(record) {
			t.Errorf("%d bytes of stack in a record of %d", m.Size(), len(record))
		}
	})
}
