package vault

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
)

const (
	// ChunkBytes is the size of every chunk of a unit but its last.
	ChunkBytes = 64 << 10
	// MaxBytes bounds the content of a unit.
	MaxBytes = 16 << 20
)

// Unit is a reusable semantic unit as it is stored.
type Unit struct {
	ID           string
	SemanticHash string
	// OriginalTokenCount is the length of the context before it was compressed,
	// CompressedGlyphCount after it.
	OriginalTokenCount   int
	CompressedGlyphCount int
	// Content is the glyph stream followed by KVCacheBytes bytes of KV cache. The
	// vault keeps it: it must not be changed any more.
	Content      []byte
	KVCacheBytes int
}

// Record is what the vault knows of a unit.
type Record struct {
	ID                   string    `json:"rsu_id"`
	SemanticHash         string    `json:"semantic_hash"`
	OriginalTokenCount   int       `json:"original_token_count"`
	CompressedGlyphCount int       `json:"compressed_glyph_count"`
	ChunkIDs             []ChunkID `json:"chunk_ids"`
	Bytes                int       `json:"bytes"`
	KVCacheBytes         int       `json:"kv_cache_bytes"`
}

// ChunkID names a chunk. No two chunks that are stored at the same time share one,
// and while a vault is open none is given twice.
type ChunkID uint64

// MarshalText gives the ID as 16 hexadecimal digits.
func (id ChunkID) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, id.key()), nil
}

// UnmarshalText reads what MarshalText gave.
func (id *ChunkID) UnmarshalText(text []byte) error {
	if len(text) != 16 {
		return fmt.Errorf("the chunk ID %.20q has not 16 digits", text)
	}
	bytes, err := hex.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("reading the chunk ID %q: %w", text, err)
	}
	*id = ChunkID(binary.BigEndian.Uint64(bytes))
	return nil
}

// key is the ID as the engine sorts it: new chunks lie behind old ones.
func (id ChunkID) key() []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// The errors that a caller may tell apart.
var (
	ErrNotFound = errors.New("no such unit")
	ErrInvalid  = errors.New("not a unit")
	ErrDamaged  = errors.New("the stored data is damaged")
	ErrWrongKey = errors.New("the key does not belong to this vault")
	ErrClosed   = errors.New("the vault is closed")
)

var (
	unitID       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	semanticHash = regexp.MustCompile(`^[A-Za-z0-9+/=_-]{0,128}$`)
)

// ValidID reports whether a unit may be called so: 1 to 128 letters, digits, dots,
// dashes and underscores, the first neither a dot nor a dash.
func ValidID(id string) bool { return unitID.MatchString(id) }

// Validate says what keeps the unit from being stored; the error wraps ErrInvalid.
func (u *Unit) Validate() error {
	switch {
	case !ValidID(u.ID):
		return fmt.Errorf("%w: the ID %.140q is not 1 to 128 letters, digits, dots, dashes and underscores", ErrInvalid, u.ID)
	case !semanticHash.MatchString(u.SemanticHash):
		return fmt.Errorf("%w: the semantic hash %.140q is not up to 128 hexadecimal or base64 digits", ErrInvalid, u.SemanticHash)
	case u.OriginalTokenCount < 0 || u.CompressedGlyphCount < 0:
		return fmt.Errorf("%w: %d tokens in %d glyphs", ErrInvalid, u.OriginalTokenCount, u.CompressedGlyphCount)
	case len(u.Content) > MaxBytes:
		return fmt.Errorf("%w: its content has %d bytes, at most %d are stored", ErrInvalid, len(u.Content), MaxBytes)
	case u.KVCacheBytes < 0 || u.KVCacheBytes > len(u.Content):
		return fmt.Errorf("%w: %d bytes of KV cache in a content of %d", ErrInvalid, u.KVCacheBytes, len(u.Content))
	}
	return nil
}
