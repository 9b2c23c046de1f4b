package debuginfo_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/debuginfo"
)

// sampled returns random addresses of a file's code.
func sampled(f *binary.File, n int) []uint64 {
	random := rand.New(rand.NewPCG(1, 2))
	var spans []binary.CodeSpan
	total := uint64(0)
	for s := range f.Code() {
		spans = append(spans, s)
		total += s.High - s.Low
	}
	addresses := make([]uint64, n)
	for i := range addresses {
		at := random.Uint64N(total)
		for _, s := range spans {
			if size := s.High - s.Low; at >= size {
				at -= size
			} else {
				addresses[i] = s.Low + at
				break
			}
		}
	}
	return addresses
}

func TestAdhoc(t *testing.T) {
	path := os.Getenv("ADHOC")
	if path == "" {
		t.Skip()
	}
	f := openFile(t, path)
	var o debuginfo.Options
	if id := f.BuildID(); len(id) > 2 {
		if file, err := os.Open("/usr/lib/debug/.build-id/" + id[:2] + "/" + id[2:] + ".debug"); err == nil {
			info, _ := file.Stat()
			if o.Debug, err = binary.OpenDebug(file, info.Size(), f); err != nil {
				t.Error(err)
			}
		}
	}
	table := debuginfo.Open(f, o)
	addresses := sampled(f, 10000)
	var a agreement
	for i, want := range addr2line(t, path, addresses) {
		got, err := table.Frames(addresses[i])
		if err != nil {
			t.Error(err)
		}
		a.compare(t, addresses[i], got, want)
	}
	t.Log(a)
	c, _ := table.DWARFCounts()
	t.Logf("%+v %v %d", c, table.Problems(), table.Memory())
}
