package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// sealer encrypts and authenticates. Each ciphertext is bound to its place, so that
// one found elsewhere does not open. Nonces are random, which is safe for some 2^32
// chunks and records under one key (NIST SP 800-38D, section 8.3).
type sealer struct {
	aead cipher.AEAD
}

func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making a cipher of the key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making a cipher of the key: %w", err)
	}
	return &sealer{aead}, nil
}

// chunkPlace is what a chunk is bound to: which it is, and of which unit.
func chunkPlace(unit string, id ChunkID, number int) []byte {
	place := append(make([]byte, 0, 32+len(unit)), 'c')
	place = binary.BigEndian.AppendUint64(place, uint64(id))
	place = binary.BigEndian.AppendUint32(place, uint32(number))
	return append(place, unit...)
}

// encryptChunk seals one chunk of a unit.
func (s *sealer) encryptChunk(plain []byte, unit string, id ChunkID, number int) []byte {
	sealed := make([]byte, 0, len(plain)+s.aead.Overhead())
	return s.aead.Seal(sealed, nil, plain, chunkPlace(unit, id, number))
}

// decryptChunk opens what encryptChunk sealed for the same place.
func (s *sealer) decryptChunk(sealed []byte, unit string, id ChunkID, number int) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, chunkPlace(unit, id, number))
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d of unit %s does not open: %w", ErrDamaged, number, unit, err)
	}
	return plain, nil
}

func (s *sealer) sealRecord(r *Record) ([]byte, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding the record of unit %s: %w", r.ID, err)
	}
	return s.aead.Seal(nil, nil, plain, append([]byte{'r'}, r.ID...)), nil
}

func (s *sealer) openRecord(sealed []byte, unit string) (Record, error) {
	plain, err := s.aead.Open(nil, nil, sealed, append([]byte{'r'}, unit...))
	var r Record
	if err == nil {
		err = json.Unmarshal(plain, &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: the record of unit %s does not open: %w", ErrDamaged, unit, err)
	}
	return r, nil
}

// A vault holds one sealed text that tells whether a key belongs to it.
const checkText = "sigmavault key check"

func (s *sealer) sealCheck() []byte { return s.aead.Seal(nil, nil, []byte(checkText), []byte{'k'}) }

func (s *sealer) opensCheck(sealed []byte) bool {
	plain, err := s.aead.Open(nil, nil, sealed, []byte{'k'})
	return err == nil && string(plain) == checkText
}
