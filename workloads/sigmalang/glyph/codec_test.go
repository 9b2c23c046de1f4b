package glyph

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCodec(t testing.TB, cores int, faults Faults) *Codec {
	t.Helper()
	book, err := DefaultCodebook()
	if err != nil {
		t.Fatal(err)
	}
	return NewCodec(book, cores, faults)
}

// returns encodes and decodes behind other bytes, which have to stay.
func returns(t interface{ Fatalf(string, ...any) }, c *Codec, text []byte) []byte {
	frame, err := c.Encode(context.Background(), []byte("before"), text)
	if err != nil {
		t.Fatalf("encoding %d bytes: %v", len(text), err)
	}
	back, err := c.Decode(context.Background(), []byte("front"), frame[len("before"):])
	if err != nil {
		t.Fatalf("decoding %d bytes: %v", len(text), err)
	}
	if string(frame[:6]) != "before" || string(back[:5]) != "front" || !bytes.Equal(back[5:], text) {
		t.Fatalf("%d bytes %.60q came back as %.60q", len(text), text, back)
	}
	return frame[6:]
}

func TestTextComesBack(t *testing.T) {
	c := newCodec(t, 2, Faults{})
	noise := make([]byte, 70_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	english := strings.Repeat("The result of the function is the number of bytes, if err != nil {\n\t\treturn err\n\t}\n", 9000)
	for _, text := range []string{
		"", "a", " ", "\x00", "\xff", "the", " the", "the ", "  the", "the\x00", "ab\x00\x00\x00\x00\x00\x00\x00\x00", "\x80\xfe\xff",
		"Здравствуй, мир. 你好，世界。 👋🏽", strings.Repeat("é", 5000), strings.Repeat(" ", 1000), strings.Repeat("\xff", 300_000),
		string(noise), english, english[:segmentSize], english[:segmentSize-1], english[:segmentSize+1], strings.Repeat("x", 2*segmentSize),
	} {
		frame := returns(t, c, []byte(text))
		if longest := len(text) + 64 + len(text)/1000; len(frame) > longest {
			t.Errorf("%d bytes %.20q became %d", len(text), text, len(frame))
		}
	}
	if frame := returns(t, c, []byte(english)); len(english)/len(frame) < 50 {
		t.Errorf("%d repeated bytes became %d", len(english), len(frame))
	}
}

func TestAnyTextComesBack(t *testing.T) {
	c := newCodec(t, 2, Faults{})
	words := []string{" the", "the", " of", "return", " {\n\t", ", ", "\n", "é", "\x00", "\xff\x80", "x", "Zzyzx", " ", "  ", "uint64", "\""}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(words)).Draw(t, "words"), "")
		returns(t, c, append([]byte(text), rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...))
	})
}

// A fault changes what a frame costs, not what is in it.
func TestFaultsWriteTheSameFrames(t *testing.T) {
	text := []byte(strings.Repeat("This package implements the reader of the file; see also ÅÄÖ and qwrt.\n", 4000))
	want := returns(t, newCodec(t, 2, Faults{}), text)
	for _, faults := range []Faults{{Scan: true}, {Bitwise: true}, {Fresh: true}, {Memo: true}} {
		if got := returns(t, newCodec(t, 1, faults), text); !bytes.Equal(got, want) {
			t.Errorf("%+v: another frame", faults)
		}
	}
}

func TestCallersShareTheCores(t *testing.T) {
	c := newCodec(t, 1, Faults{})
	c.turns <- struct{}{}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := c.Encode(ctx, nil, []byte("text")); !errors.Is(err, gone) {
		t.Errorf("encoding without a core: %v", err)
	}
	if _, err := c.Decode(ctx, nil, nil); !errors.Is(err, gone) {
		t.Errorf("decoding without a core: %v", err)
	}
	if c.give(); c.Busy() != 0 {
		t.Errorf("%d cores are busy", c.Busy())
	}
	done := make(chan struct{})
	for i := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			returns(panicker{}, c, bytes.Repeat([]byte{byte('a' + i), ' '}, 400_000))
		}()
	}
	for range 8 {
		<-done
	}
	if c.Busy() != 0 {
		t.Errorf("%d cores are busy", c.Busy())
	}
}

type panicker struct{}

func (panicker) Fatalf(format string, arguments ...any) { panic(format) }

func TestTooLongIsRefused(t *testing.T) {
	if _, err := newCodec(t, 1, Faults{}).Encode(t.Context(), nil, make([]byte, MaxText+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
}

// A damaged frame gives an error, or the text all the same: Zstandard's header has
// bits that matter to no text.
func TestDamageIsNoticed(t *testing.T) {
	c := newCodec(t, 1, Faults{})
	whole := strings.Repeat("the number of the bytes that it returns Qqq é\n", 40)
	frame := returns(t, c, []byte(whole))
	for at := range frame {
		for bit := range 8 {
			damaged := bytes.Clone(frame)
			damaged[at] ^= 1 << bit
			if text, err := c.Decode(t.Context(), nil, damaged); err == nil && string(text) != whole {
				t.Errorf("byte %d, bit %d: decoded to another text", at, bit)
			} else if err != nil && !errors.Is(err, ErrFrame) {
				t.Errorf("byte %d, bit %d: %v", at, bit, err)
			}
		}
		if _, err := c.Decode(t.Context(), nil, frame[:at]); !errors.Is(err, ErrFrame) {
			t.Errorf("the first %d bytes: %v", at, err)
		}
	}
}

// A frame may claim little and hold much.
func TestBombIsRefused(t *testing.T) {
	c := newCodec(t, 1, Faults{})
	zip, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	payload := zip.EncodeAll(make([]byte, 64<<20), nil)
	zip.Close()
	frame := header{c.book.fingerprint, 0, 100}.append(nil)
	frame = append(frame, plainMode)
	frame = binary.AppendUvarint(frame, 100)
	frame = append(binary.AppendUvarint(frame, uint64(len(payload))), payload...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = c.Decode(t.Context(), nil, frame)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFrame) || taken > 16<<20 {
		t.Errorf("%v after %d bytes of memory", err, taken)
	}
}

func FuzzDecode(f *testing.F) {
	c := newCodec(f, 1, Faults{})
	for _, text := range []string{"", "the end of the file", strings.Repeat("é\n", 300)} {
		frame, err := c.Encode(f.Context(), nil, []byte(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Add([]byte{magic, version})
	f.Fuzz(func(t *testing.T, frame []byte) {
		text, err := c.Decode(t.Context(), nil, frame)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Error(err)
			}
			return
		}
		returns(t, c, text)
	})
}

func FuzzEncode(f *testing.F) {
	c := newCodec(f, 1, Faults{})
	f.Add([]byte("the \x00 é\xff end"))
	f.Fuzz(func(t *testing.T, text []byte) { returns(t, c, text) })
}
