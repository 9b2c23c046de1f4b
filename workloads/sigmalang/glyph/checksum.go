package glyph

import "hash/crc32"

// castagnoli is the table of CRC-32C, which processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(text []byte) uint32 { return crc32.Checksum(text, castagnoli) }

// checksumBitwise computes the same bit by bit, as the definition has it. It is the
// planted fault.
func checksumBitwise(text []byte) uint32 {
	sum := ^uint32(0)
	for _, c := range text {
		sum ^= uint32(c)
		for range 8 {
			sum = sum>>1 ^ crc32.Castagnoli&-(sum&1)
		}
	}
	return ^sum
}
