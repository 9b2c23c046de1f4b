package llama

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

// writeCheckpoint lays a model out as llama2.c does, written down apart from the
// reader.
func writeCheckpoint(c Config, w *Weights, shared bool) []byte {
	var out bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			panic(err) // a bytes.Buffer does not fail
		}
	}
	vocab := int32(c.Vocab)
	if !shared {
		vocab = -vocab
	}
	put([]int32{int32(c.Dim), int32(c.HiddenDim), int32(c.Layers), int32(c.Heads), int32(c.KVHeads), vocab, int32(c.Context)})
	put(w.Embedding)
	for _, pick := range []func(LayerWeights) []float32{
		func(l LayerWeights) []float32 { return l.AttentionNorm },
		func(l LayerWeights) []float32 { return l.Query },
		func(l LayerWeights) []float32 { return l.Key },
		func(l LayerWeights) []float32 { return l.Value },
		func(l LayerWeights) []float32 { return l.Output },
		func(l LayerWeights) []float32 { return l.FeedForwardNorm },
		func(l LayerWeights) []float32 { return l.Gate },
		func(l LayerWeights) []float32 { return l.Down },
		func(l LayerWeights) []float32 { return l.Up },
	} {
		for _, l := range w.Layers {
			put(pick(l))
		}
	}
	put(w.FinalNorm)
	put(make([]float32, c.Context*c.Dim/c.Heads))
	if !shared {
		put(w.Classifier)
	}
	return out.Bytes()
}

func read(data []byte) (Config, *Weights, error) {
	return ReadCheckpoint(bytes.NewReader(data), int64(len(data)))
}

func TestCheckpointRoundTrip(t *testing.T) {
	for i, shape := range shapes {
		_, want := randomModel(t, shape.Config, uint64(i))
		for _, shared := range []bool{false, true} {
			c, got, err := read(writeCheckpoint(shape.Config, want, shared))
			if err != nil {
				t.Fatal(err)
			}
			if c != shape.Config {
				t.Errorf("shape %+v came back as %+v", shape.Config, c)
			}
			expected := want.arrays()
			if shared {
				expected[len(expected)-1] = want.Embedding
			}
			for j, a := range got.arrays() {
				if !slices.Equal(a, expected[j]) {
					t.Errorf("%+v, shared %v: array %d differs", shape.Config, shared, j)
				}
			}
			if _, err := NewModel(c, got); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCheckpointRefusesDamage(t *testing.T) {
	c := shapes[1].Config
	_, w := randomModel(t, c, 1)
	good := writeCheckpoint(c, w, false)
	change := func(at int, v uint32) []byte {
		bad := bytes.Clone(good)
		binary.LittleEndian.PutUint32(bad[at:], v)
		return bad
	}
	minInt := uint32(1 << 31)
	lastQuery := checkpointHeaderSize + 4*(c.Vocab*c.Dim+c.Dim+c.Dim*c.Dim-1)
	for _, x := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "reading the checkpoint's header"},
		{"half a header", good[:20], "reading the checkpoint's header"},
		{"a byte short", good[:len(good)-1], "its header asks for"},
		{"a byte too many", append(bytes.Clone(good), 0), "its header asks for"},
		{"no dimension", change(0, 0), "dim is 0"},
		{"huge dimension", change(0, math.MaxInt32), "dim is"},
		{"negative layers", change(8, minInt), "layers is"},
		{"no heads", change(12, 0), "heads is 0"},
		{"the smallest vocabulary", change(20, minInt), "vocab is"},
		{"shared, says the header", change(20, uint32(c.Vocab)), "its header asks for"},
		{"huge context", change(24, 1<<20), "its header asks for"},
		{"not a number", change(lastQuery, math.Float32bits(float32(math.NaN()))), "reading the query of layer 0: value 63 is not finite"},
		{"infinite", change(len(good)-4, math.Float32bits(float32(math.Inf(-1)))), "reading the classifier"},
	} {
		if _, _, err := read(x.data); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want an error about %q", x.name, err, x.want)
		}
	}
	// A file that ends while it is read, as one that is being written.
	if _, _, err := ReadCheckpoint(bytes.NewReader(good[:1000]), int64(len(good))); err == nil {
		t.Error("a file that ended early was read")
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	for _, c := range []Config{shapes[0].Config, shapes[1].Config} {
		w, err := SeededWeights(c, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(writeCheckpoint(c, w, true))
		f.Add(writeCheckpoint(c, w, false))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, w, err := read(data)
		if err != nil {
			return
		}
		m, err := NewModel(c, w)
		if err != nil {
			t.Fatalf("a checkpoint that was read makes no model: %v", err)
		}
		if c.Layers*c.Context*c.Dim > 1<<20 {
			return // possible, but slow to try
		}
		// Weights may be so large that sums overflow; that must be an error.
		sampler, err := NewSampler(Sampling{Temperature: 1, TopP: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		for token, err := range m.NewSequence().Generate(t.Context(), []int{0}, sampler, min(3, c.Context), nil) {
			if err == nil && (token < 0 || token >= c.Vocab) {
				t.Fatalf("token %d of %d", token, c.Vocab)
			}
		}
	})
}
