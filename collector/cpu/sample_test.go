package cpu

import (
	"errors"
	"testing"
)

func TestDecode(t *testing.T) {
	data := record(3)
	s, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.PID != 1000 || s.Thread.TID != 1001 || s.Thread.Name != "some-thread" || s.Thread.ProcessName != "some-thread" {
		t.Errorf("%+v", s)
	}
	if s.Time != 11 || s.CPU != 3 || s.Process.Start != 12 || s.Process.Generation != 13 || s.Thread.Cgroup != 14 || s.Weight != 15 || s.End != 16 {
		t.Errorf("%+v", s)
	}
	if len(s.User) != 3 || s.User[2] != 0x7f0000000080 || len(s.Kernel) != 0 {
		t.Errorf("frames %x and %x", s.User, s.Kernel)
	}
	clear(data)
	if s.User[2] != 0x7f0000000080 {
		t.Error("the sample keeps the record")
	}
}

func TestDecodeRefusesCutRecords(t *testing.T) {
	data := record(3)
	for _, size := range []int{0, 1, int(framesOffset) - 1, int(framesOffset), len(data) - 1} {
		if _, err := Decode(data[:size]); !errors.Is(err, ErrMalformed) {
			t.Errorf("of %d bytes: %v", size, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(0))
	f.Add(record(3))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err == nil && framesOffset+uintptr(len(s.User)+len(s.Kernel))*8 > uintptr(len(data)) {
			t.Errorf("%d and %d frames in %d bytes", len(s.User), len(s.Kernel), len(data))
		}
	})
}
