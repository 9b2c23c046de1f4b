package llama

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// checkpointHeader is the start of a llama2.c checkpoint of version 0: seven
// little-endian int32 (llama2.c, export.py, legacy_export). A negative
// vocabulary means that the classifier is stored apart from the embedding.
type checkpointHeader struct {
	Dim, HiddenDim, Layers, Heads, KVHeads, Vocab, Context int32
}

const checkpointHeaderSize = 7 * 4

// ReadCheckpoint reads a llama2.c checkpoint of version 0 from r, which holds
// size bytes. After the header come float32 tensors: the token embedding; then,
// each for all layers, attention norm, query, key, value, attention output,
// feed-forward norm, gate, down, up; the final norm; two tables of rotary
// angles, which are skipped because the model computes its own; and the
// classifier unless it is shared with the embedding.
//
// The file is not trusted: nothing is allocated before the header is found
// possible and to ask for exactly size bytes, and a value that is not finite is
// an error that names its tensor.
func ReadCheckpoint(r io.Reader, size int64) (Config, *Weights, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	var header checkpointHeader
	if err := binary.Read(in, binary.LittleEndian, &header); err != nil {
		return Config{}, nil, fmt.Errorf("reading the checkpoint's header: %w", err)
	}
	shared := header.Vocab > 0
	c := Config{
		Dim: int(header.Dim), HiddenDim: int(header.HiddenDim), Layers: int(header.Layers),
		Heads: int(header.Heads), KVHeads: int(header.KVHeads), Vocab: int(header.Vocab), Context: int(header.Context),
	}
	if !shared {
		c.Vocab = -c.Vocab
	}
	if err := c.Validate(); err != nil {
		return Config{}, nil, fmt.Errorf("checking the checkpoint's header: %w", err)
	}
	values := c.Parameters() + int64(c.Context)*int64(c.headDim())
	if shared {
		values -= int64(c.Vocab) * int64(c.Dim)
	}
	if want := checkpointHeaderSize + 4*values; want != size {
		return Config{}, nil, fmt.Errorf("the checkpoint has %d bytes, its header asks for %d", size, want)
	}
	w, err := readTensors(in, c, shared)
	if err != nil {
		return Config{}, nil, err
	}
	return c, w, nil
}

// readTensors reads everything after the header.
func readTensors(in io.Reader, c Config, shared bool) (*Weights, error) {
	w := &Weights{}
	all := w.tensors(c)
	perLayer := (len(all) - 3) / c.Layers
	// The file goes through all layers of one kind of tensor before the next
	// kind; the list goes through all tensors of one layer.
	order := []tensor{all[0]}
	for kind := range perLayer {
		for l := range c.Layers {
			order = append(order, all[1+l*perLayer+kind])
		}
	}
	order = append(order, all[len(all)-2])
	var angles []float32
	order = append(order, tensor{name: "rotary table", layer: -1, values: &angles, length: c.Context * c.headDim()})
	if !shared {
		order = append(order, all[len(all)-1])
	}
	for _, t := range order {
		*t.values = make([]float32, t.length)
		if err := readFloats(in, *t.values); err != nil {
			return nil, fmt.Errorf("reading the %s: %w", t.label(), err)
		}
	}
	if shared {
		w.Classifier = w.Embedding
	}
	return w, nil
}

// readFloats fills dst with little-endian float32 and refuses NaN and infinity.
func readFloats(in io.Reader, dst []float32) error {
	var buffer [1 << 14]byte
	for done := 0; done < len(dst); {
		n := min(len(dst)-done, len(buffer)/4)
		if _, err := io.ReadFull(in, buffer[:4*n]); err != nil {
			return err
		}
		for i := range n {
			v := math.Float32frombits(binary.LittleEndian.Uint32(buffer[4*i:]))
			if v-v != 0 {
				return fmt.Errorf("value %d is not finite", done+i)
			}
			dst[done+i] = v
		}
		done += n
	}
	return nil
}
