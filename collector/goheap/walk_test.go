package goheap

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The places of things in a fake process.
const (
	fakeBase    = 0x10000
	fakeHead    = fakeBase
	fakeCycle   = fakeBase + 8
	fakeRate    = fakeBase + 16
	fakeBuckets = fakeBase + 64
)

var fakeAt = variables{buckets: fakeHead, cycle: fakeCycle, rate: fakeRate}

// fake is a process's memory from fakeBase on. Before each read, change may do as the process
// does meanwhile.
type fake struct {
	bytes  []byte
	reads  int
	change func(reads int)
}

func (f *fake) ReadAt(p []byte, at int64) (int, error) {
	f.reads++
	if f.change != nil {
		f.change(f.reads)
	}
	if at < fakeBase || at-fakeBase >= int64(len(f.bytes)) {
		return 0, unix.EIO
	}
	n := copy(p, f.bytes[at-fakeBase:])
	if n < len(p) {
		return n, unix.EIO
	}
	return n, nil
}

func (f *fake) set(address, word uint64) {
	for uint64(len(f.bytes)) < address-fakeBase+8 {
		f.bytes = append(f.bytes, make([]byte, 4096)...)
	}
	binary.LittleEndian.PutUint64(f.bytes[address-fakeBase:], word)
}

func (f *fake) setRecord(address uint64, r record) {
	words := []tally{r.active, r.future[0], r.future[1], r.future[2]}
	for i, t := range words {
		for j, word := range []uint64{t.allocs, t.frees, t.allocBytes, t.freeBytes} {
			f.set(address+uint64(4*i+j)*8, word)
		}
	}
}

// fakeBucket is what to put into memory.
type fakeBucket struct {
	size  uint64
	stack []uint64
	record
}

// newFake lays out buckets, the last the head of the list. It gives their addresses.
func newFake(cycle, rate uint64, buckets ...fakeBucket) (*fake, []uint64) {
	f := &fake{}
	f.set(fakeCycle, cycle<<1)
	f.set(fakeRate, rate)
	next, at := uint64(0), uint64(fakeBuckets)
	var addresses []uint64
	for _, b := range buckets {
		addresses = append(addresses, at)
		for i, word := range []uint64{0x1234, next, memProfile, hash(b.stack, b.size), b.size, uint64(len(b.stack))} {
			f.set(at+uint64(i)*8, word)
		}
		for i, pc := range b.stack {
			f.set(at+headerBytes+uint64(i)*8, pc)
		}
		end := at + headerBytes + uint64(len(b.stack))*8
		f.setRecord(end, b.record)
		next, at = at, end+recordBytes
	}
	f.set(fakeHead, next)
	return f, addresses
}

// of is n allocations of a size, of which some were freed.
func of(size, allocs, frees uint64) tally { return tally{allocs, frees, allocs * size, frees * size} }

func (f *fake) snapshot(t *testing.T) (Snapshot, bool) {
	t.Helper()
	rate, buckets, settled, err := read(t.Context(), f, fakeAt)
	if err != nil {
		t.Fatal(err)
	}
	return newSnapshot(nil, rate, buckets), settled
}

// TestCycles: what is published is the active counts and those of the cycle that is.
func TestCycles(t *testing.T) {
	r := record{active: of(16, 10, 4), future: [3]tally{of(16, 1, 1), of(16, 2, 0), of(16, 4, 2)}}
	for cycle, want := range map[uint64]Counts{
		3: {11, 11 * 16, 5, 5 * 16},
		4: {12, 12 * 16, 4, 4 * 16},
		5: {14, 14 * 16, 6, 6 * 16},
	} {
		f, _ := newFake(cycle, 1, fakeBucket{16, []uint64{1, 2, 3}, r})
		s, settled := f.snapshot(t)
		if len(s.Records) != 1 || !settled || s.Records[0].Counts != want {
			t.Fatalf("cycle %d: %+v, settled: %v; want %+v", cycle, s.Records, settled, want)
		}
		all := s.Records[0].plus(s.Records[0].Pending)
		if all != (Counts{17, 17 * 16, 7, 7 * 16}) {
			t.Errorf("cycle %d: %+v with what is pending", cycle, all)
		}
	}
	f, _ := newFake(3, 1, fakeBucket{16, nil, record{future: [3]tally{{}, of(16, 2, 0), of(16, 4, 2)}}}, fakeBucket{size: 32})
	s, _ := f.snapshot(t)
	if s.Records[1].Counts != (Counts{6, 96, 2, 32}) || s.Records[1].Pending != (Counts{}) {
		t.Errorf("where nothing was ever published there is %+v", s.Records)
	}
	f, _ = newFake(3, 1, fakeBucket{16, nil, record{future: [3]tally{{}, of(16, 2, 0), of(16, 4, 2)}}}, fakeBucket{32, nil, record{active: of(32, 1, 1)}})
	s, _ = f.snapshot(t)
	if s.Records[1].Counts != (Counts{}) || s.Records[1].Pending != (Counts{6, 96, 2, 32}) {
		t.Errorf("where others are published there is %+v", s.Records)
	}
}

// TestTorn changes counts while they are read.
func TestTorn(t *testing.T) {
	whole := record{active: of(16, 10, 4)}
	torn := whole
	torn.active.allocs++
	f, at := newFake(3, 1, fakeBucket{16, nil, whole}, fakeBucket{32, nil, record{active: of(32, 1, 0)}})
	f.change = func(reads int) {
		r := torn
		if reads > 30 {
			r = whole
		}
		f.setRecord(at[0]+headerBytes, r)
	}
	if s, settled := f.snapshot(t); s.Skipped != 0 || !settled || s.Records[1].Counts != whole.active.counts() {
		t.Errorf("%+v, settled: %v", s, settled)
	}
	f.change = func(int) { f.setRecord(at[0]+headerBytes, torn) }
	if s, _ := f.snapshot(t); s.Skipped != 1 || len(s.Records) != 1 {
		t.Errorf("%+v; want one record, and one skipped", s)
	}
	// A collection publishes between the readings: the last state counts.
	passes := 0
	published := record{active: of(16, 12, 4)}
	f.change = func(reads int) {
		if passes++; passes > 12 {
			f.setRecord(at[0]+headerBytes, published)
		}
	}
	if s, settled := f.snapshot(t); !settled || s.Records[1].Counts != published.active.counts() {
		t.Errorf("%+v, settled: %v", s, settled)
	}
	// It never stops to: that is said.
	n := uint64(12)
	f.change = func(reads int) {
		n++
		f.setRecord(at[0]+headerBytes, record{active: of(16, n, 4)})
	}
	if s, settled := f.snapshot(t); settled || s.Records[1].AllocObjects < 12 {
		t.Errorf("%+v, settled: %v", s, settled)
	}
	// Nor do cycles.
	f.change = func(reads int) { f.set(fakeCycle, uint64(reads%1000)<<1) }
	if _, _, _, err := read(t.Context(), f, fakeAt); !errors.Is(err, errBusy) {
		t.Errorf("cycles that never stay: %v", err)
	}
}

// TestHostile reads what no runtime would write.
func TestHostile(t *testing.T) {
	buckets := []fakeBucket{{16, []uint64{1, 2}, record{}}, {32, []uint64{3}, record{}}, {48, []uint64{4}, record{}}}
	for name, test := range map[string]struct {
		spoil func(f *fake, at []uint64)
		want  error
	}{
		"a list that comes back to its end":    {func(f *fake, at []uint64) { f.set(at[0]+8, at[0]) }, ErrMalformed},
		"a list that comes back to its head":   {func(f *fake, at []uint64) { f.set(at[0]+8, at[2]) }, ErrMalformed},
		"a bucket of another type":             {func(f *fake, at []uint64) { f.set(at[1]+16, 2) }, ErrMalformed},
		"a hash of another stack":              {func(f *fake, at []uint64) { f.set(at[1]+headerBytes, 7) }, ErrMalformed},
		"a stack too deep":                     {func(f *fake, at []uint64) { f.set(at[1]+40, maxDepth+1) }, ErrMalformed},
		"a stack beyond memory":                {func(f *fake, at []uint64) { f.set(at[2]+40, maxDepth) }, io.ErrUnexpectedEOF},
		"an address that is none":              {func(f *fake, at []uint64) { f.set(fakeHead, 1<<63) }, ErrMalformed},
		"an address between words":             {func(f *fake, at []uint64) { f.set(fakeHead, at[0]+1) }, ErrMalformed},
		"an address without memory":            {func(f *fake, at []uint64) { f.set(fakeHead, 1<<40) }, unix.EIO},
		"a cycle beyond the last":              {func(f *fake, at []uint64) { f.set(fakeCycle, 1<<31) }, ErrMalformed},
		"a rate of 0":                          {func(f *fake, at []uint64) { f.set(fakeRate, 0) }, ErrOff},
		"a rate below 0":                       {func(f *fake, at []uint64) { f.set(fakeRate, 1<<63) }, ErrOff},
		"no memory":                            {func(f *fake, at []uint64) { f.bytes = nil }, unix.EIO},
		"a size that no allocation could have": {func(f *fake, at []uint64) { f.set(at[1]+32, 1<<57) }, ErrMalformed},
	} {
		f, at := newFake(1, 1, buckets...)
		test.spoil(f, at)
		if _, _, _, err := read(t.Context(), f, fakeAt); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, _, _, err := read(t.Context(), readerFunc(func([]byte, int64) (int, error) { return 0, io.EOF }), fakeAt); !errors.Is(err, ErrGone) {
		t.Errorf("a process that has ended: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	f, _ := newFake(1, 1, buckets...)
	if _, _, _, err := read(ended, f, fakeAt); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestEndless reads a list without an end, of which each bucket is another.
func TestEndless(t *testing.T) {
	const step = headerBytes + recordBytes
	endless := readerFunc(func(p []byte, at int64) (int, error) {
		if at < 1<<20 {
			f, _ := newFake(1, 1)
			f.set(fakeHead, 1<<20)
			return f.ReadAt(p, at)
		}
		for i := 0; i+8 <= len(p); i += 8 {
			address := uint64(at) + uint64(i)
			word := uint64(0)
			switch (address - 1<<20) % step / 8 {
			case wordAllNext:
				word = address - 8 + step
			case wordType:
				word = memProfile
			case wordHash:
				word = hash(nil, 0)
			}
			binary.LittleEndian.PutUint64(p[i:], word)
		}
		return len(p), nil
	})
	started := time.Now()
	if _, _, _, err := read(t.Context(), endless, fakeAt); !errors.Is(err, ErrMalformed) {
		t.Errorf("an endless list: %v", err)
	}
	t.Logf("%v for %d buckets", time.Since(started), maxBuckets)
}

type readerFunc func(p []byte, at int64) (int, error)

func (f readerFunc) ReadAt(p []byte, at int64) (int, error) { return f(p, at) }

func TestSub(t *testing.T) {
	h := &Heap{}
	take := func(r ...record) Snapshot {
		f, _ := newFake(3, 512, fakeBucket{16, []uint64{1}, r[0]}, fakeBucket{32, []uint64{2}, r[1]}, fakeBucket{64, []uint64{3}, r[2]})
		rate, buckets, _, err := read(t.Context(), f, fakeAt)
		if err != nil {
			t.Fatal(err)
		}
		return newSnapshot(h, rate, buckets)
	}
	torn := record{active: tally{allocs: 1}}
	first := take(record{active: of(16, 5, 1)}, record{active: of(32, 2, 0)}, torn)
	second := take(record{active: of(16, 9, 5), future: [3]tally{{}, of(16, 1, 0)}}, record{active: of(32, 2, 0)}, record{active: of(64, 100, 0)})
	since, err := second.Sub(first)
	if err != nil || len(since.Records) != 1 || since.Skipped != 1 || since.Rate != 512 {
		t.Fatalf("%+v: %v", since, err)
	}
	if r := since.Records[0]; r.Counts != (Counts{4, 64, 4, 64}) || r.Pending != (Counts{1, 16, 0, 0}) || !slices.Equal(r.Stack, []uint64{1}) {
		t.Errorf("%+v", r)
	}
	other := second
	other.Rate = 1
	if _, err := other.Sub(first); !errors.Is(err, ErrIncomparable) {
		t.Errorf("of two rates: %v", err)
	}
	other = second
	other.of = &Heap{}
	if _, err := other.Sub(first); !errors.Is(err, ErrIncomparable) {
		t.Errorf("of two programs: %v", err)
	}
}

// TestGrowth: what was there before the first reading counts for programs that began later
// only, what a reading had to skip comes with the next, and nothing comes twice.
func TestGrowth(t *testing.T) {
	h := &Heap{}
	take := func(rate uint64, records ...record) Snapshot {
		f, _ := newFake(3, rate, fakeBucket{16, nil, records[0]}, fakeBucket{32, nil, records[1]}, fakeBucket{64, nil, records[2]})
		read, buckets, _, err := read(t.Context(), f, fakeAt)
		if err != nil {
			t.Fatal(err)
		}
		return newSnapshot(h, read, buckets)
	}
	torn := record{active: tally{allocs: 1}}
	readings := []Snapshot{
		take(1, record{active: of(16, 5, 1)}, torn, record{}),
		take(1, record{active: of(16, 9, 5), future: [3]tally{{}, of(16, 1, 0)}}, record{active: of(32, 7, 0)}, record{active: of(64, 3, 0)}),
		take(1, torn, record{active: of(32, 8, 0)}, record{active: of(64, 3, 0)}),
		take(1, record{active: of(16, 12, 5)}, record{active: of(32, 8, 0)}, record{active: of(64, 3, 0)}),
		take(1024, record{active: of(16, 12, 5)}, record{active: of(32, 8, 0)}, record{active: of(64, 4, 0)}),
	}
	objects, _ := Scale(4, 256, 1024)
	before, _ := Scale(3, 192, 1024)
	for fresh, want := range map[bool][]map[int64]int64{
		false: {{}, {16: 5, 64: 3}, {32: 1}, {16: 2}, {64: objects - before}},
		true:  {{16: 5}, {16: 5, 32: 7, 64: 3}, {32: 1}, {16: 2}, {64: objects - before}},
	} {
		g := growth{fresh: fresh}
		for i, reading := range readings {
			samples, err := g.add(h, reading)
			if err != nil {
				t.Fatal(err)
			}
			got := map[int64]int64{}
			for _, s := range samples {
				got[s.Size] += s.Values[0]
			}
			if !maps.Equal(got, want[i]) {
				t.Errorf("fresh: %v, reading %d: objects by size %v, want %v", fresh, i, got, want[i])
			}
		}
		used, _, err := inUse(h, g.last)
		if err != nil || len(used) != 3 || used[0].Values[0] != 0 || used[0].Values[2] == 0 {
			t.Errorf("in use: %+v: %v", used, err)
		}
	}
}

// TestScale has figures of runtime/pprof's own test (TestConvertMemProfile in
// protomem_test.go of Go 1.26).
func TestScale(t *testing.T) {
	const rate = 512 * 1024
	for _, test := range []struct{ objects, bytes, wantObjects, wantBytes int64 }{
		{4, 4096, 2050, 2099200}, {3, 3072, 1537, 1574400}, {1, 512 * 1024, 1, 829411}, {0, 0, 0, 0},
	} {
		if objects, bytes := Scale(test.objects, test.bytes, rate); objects != test.wantObjects || bytes != test.wantBytes {
			t.Errorf("%d objects of %d bytes: %d of %d, want %d of %d", test.objects, test.bytes, objects, bytes, test.wantObjects, test.wantBytes)
		}
	}
	if objects, bytes := Scale(3, 48, 1); objects != 3 || bytes != 48 {
		t.Errorf("every allocation: %d, %d", objects, bytes)
	}
}

// FuzzRead reads any memory: it may refuse it, or give what fits its limits.
func FuzzRead(f *testing.F) {
	seed, _ := newFake(3, 512, fakeBucket{16, []uint64{1, 2}, record{active: of(16, 5, 1)}}, fakeBucket{32, []uint64{3}, record{future: [3]tally{of(32, 1, 0)}}})
	f.Add(seed.bytes, uint16(0), uint64(0))
	f.Add(seed.bytes[:600], uint16(64), uint64(fakeBuckets))
	f.Fuzz(func(t *testing.T, bytes []byte, at uint16, word uint64) {
		m := &fake{bytes: slices.Clone(bytes)}
		m.change = func(reads int) {
			if reads == 8 && int(at)+8 <= len(m.bytes) {
				binary.LittleEndian.PutUint64(m.bytes[at:], word)
			}
		}
		w := walker{windows: windows{memory: m, cycle: fakeCycle}, head: fakeHead, wait: func(time.Duration) {}}
		buckets, err := w.list(t.Context())
		if err != nil {
			return
		}
		if _, err := w.count(t.Context(), buckets); err != nil {
			return
		}
		for _, r := range newSnapshot(nil, 1, buckets).Records {
			if len(r.Stack) > maxDepth || r.AllocBytes < 0 || r.FreeBytes < 0 || r.AllocObjects < 0 || r.FreeObjects < 0 {
				t.Errorf("%+v", r)
			}
			Scale(r.AllocObjects, r.AllocBytes, 512)
		}
	})
}

// FuzzUses decodes any code.
func FuzzUses(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x15, 0x39, 0x89, 0x19, 0x00, 0xeb, 0x62})
	f.Add([]byte{0x62, 0x0c, 0x00, 0xf0, 0x42, 0x80, 0x2d, 0x91, 0x42, 0xfc, 0xdf, 0xc8})
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, use := range []use{load4, load8, store8} {
			for _, machine := range []uint16{machineX86, machineARM64, 3} {
				if found := uses(machine, code, 0x400000, use); len(found) > len(code) {
					t.Errorf("%d addresses in %d bytes", len(found), len(code))
				}
			}
		}
	})
}
