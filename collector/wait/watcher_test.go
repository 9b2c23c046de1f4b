package wait

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadRecords(t *testing.T) {
	var got []string
	keep := func(record []byte) { got = append(got, string(record)) }
	// The kernel gives out as much as fits, whatever the records' bounds.
	if err := readRecords(iotest.OneByteReader(bytes.NewReader(sized("one", "", "three"))), keep); err != nil || len(got) != 3 || got[2] != "three" {
		t.Errorf("%q, %v", got, err)
	}
	if err := readRecords(bytes.NewReader(sized("one")[:9]), keep); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut record: %v", err)
	}
	if err := readRecords(bytes.NewReader(binary.NativeEndian.AppendUint64(nil, 1<<40)), keep); !errors.Is(err, ErrMalformed) {
		t.Errorf("a record of a terabyte: %v", err)
	}
}
