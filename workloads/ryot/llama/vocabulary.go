package llama

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxPiece bounds the bytes of one token's text; real ones have a few dozen.
const maxPiece = 1 << 10

// The tokens that llama2.c's tokenizers begin with.
const (
	unknownToken = 0
	beginToken   = 1
	endToken     = 2
)

// ReadTokenizer reads a llama2.c tokenizer (its tokenizer.py, export) of size
// tokens, the model's Config.Vocab: a little-endian int32 with the longest
// token's length, then for each token a float32 score, an int32 length and as
// many bytes. Tokens 0, 1 and 2 are unknown, begin and end; "<0x00>" to "<0xFF>"
// are bytes.
//
// The file is not trusted: lengths are bounded, scores must be numbers, and
// nothing may follow the last token.
func ReadTokenizer(r io.Reader, size int) (*Tokenizer, error) {
	if size <= endToken || size > maxVocab {
		return nil, fmt.Errorf("a tokenizer of %d tokens: must be %d to %d", size, endToken+1, maxVocab)
	}
	in := bufio.NewReader(r)
	var longest int32
	if err := binary.Read(in, binary.LittleEndian, &longest); err != nil {
		return nil, fmt.Errorf("reading the longest token's length: %w", err)
	}
	if longest < 1 || longest > maxPiece {
		return nil, fmt.Errorf("the longest token has %d bytes, must be 1 to %d", longest, maxPiece)
	}
	// Grown as tokens are read, so that a short file costs little.
	var pieces []piece
	for id := range size {
		p, err := readPiece(in, int(longest))
		if err != nil {
			return nil, fmt.Errorf("reading token %d: %w", id, err)
		}
		switch id {
		case unknownToken:
			p.text = "\uFFFD"
			p.kind = unknownPiece
		case beginToken, endToken:
			p.text, p.kind = "", controlPiece
		default:
			if b, ok := byteToken(p.text); ok {
				p.text, p.kind = string([]byte{b}), bytePiece
			}
		}
		pieces = append(pieces, p)
	}
	switch _, err := in.ReadByte(); {
	case err == nil:
		return nil, fmt.Errorf("bytes follow the last of %d tokens: not this model's tokenizer", size)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("reading after the last token: %w", err)
	}
	return newTokenizer(pieces, beginToken, unknownToken, true), nil
}

// readPiece reads one token's score, length and bytes.
func readPiece(in io.Reader, longest int) (piece, error) {
	var head struct {
		Score  float32
		Length int32
	}
	if err := binary.Read(in, binary.LittleEndian, &head); err != nil {
		return piece{}, noEOF(err)
	}
	if math.IsNaN(float64(head.Score)) {
		return piece{}, errors.New("its score is not a number")
	}
	if head.Length < 0 || int(head.Length) > longest {
		return piece{}, fmt.Errorf("it has %d bytes, the longest is said to have %d", head.Length, longest)
	}
	text := make([]byte, head.Length)
	if _, err := io.ReadFull(in, text); err != nil {
		return piece{}, noEOF(err)
	}
	return piece{text: string(text), score: head.Score}, nil
}

// noEOF turns an end of file where a token should be into an error that cannot
// be taken for a normal end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// byteToken reads the form "<0xNN>".
func byteToken(text string) (byte, bool) {
	if len(text) != len("<0x00>") || text[:3] != "<0x" || text[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(text[3:5], 16, 8)
	return byte(b), err == nil
}

// minBuiltin is the smallest vocabulary of [BuiltinTokenizer]: the bytes.
const minBuiltin = 256

// BuiltinTokenizer makes a vocabulary for weights that have none: the 256
// bytes, then every word piece of two letters, three and so on, each optionally
// beginning with a space instead, shorter before longer and then in
// alphabetical order, until size is reached. It encodes any text, English at
// two to three characters a token. It has no token that ends a text, since
// random weights would draw it at random; a text begins after a line feed.
func BuiltinTokenizer(size int) (*Tokenizer, error) {
	if size < minBuiltin || size > maxVocab {
		return nil, fmt.Errorf("a built-in vocabulary of %d tokens: must be %d to %d", size, minBuiltin, maxVocab)
	}
	pieces := make([]piece, 0, size)
	for b := range 256 {
		pieces = append(pieces, piece{text: string([]byte{byte(b)}), kind: bytePiece})
	}
	const first, letters = " abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz"
	var shorter []string
	for i := range len(first) {
		shorter = append(shorter, first[i:i+1])
	}
	for len(pieces) < size {
		var grown []string
		for _, s := range shorter {
			for i := range len(letters) {
				if len(pieces) == size {
					break
				}
				text := s + letters[i:i+1]
				grown = append(grown, text)
				pieces = append(pieces, piece{text: text, score: -float32(len(pieces))})
			}
		}
		shorter = grown
	}
	return newTokenizer(pieces, '\n', 0, false), nil
}
