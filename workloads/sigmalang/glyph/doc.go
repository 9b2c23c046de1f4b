// Package glyph is a lossless compressor of text for the reference service. Text
// enters [Codec.Encode] and leaves it as a frame of bytes; [Codec.Decode] gives the
// same text back, or an error where a frame was damaged.
//
// It works in two stages. The first cuts the text into words and what is between
// them (parse), looks each up in a codebook of common ones (matchCodebook), and
// writes those it finds as glyphs of one or two bytes (encodeGlyphs). The second
// gives the stream of glyphs to Zstandard, for the repetitions and the entropy
// that are left.
//
// # Stream of glyphs
//
//	0x00 to 0x7f        that byte
//	0x80 to 0xbf        one of the 64 most frequent patterns
//	0xc0 to 0xfe, byte  one of the others, most frequent first
//	0xff, byte          that byte, which is above 0x7f
//
// # Frame
//
//	'S', 1       what this is, and its version
//	4 bytes      fingerprint of the codebook
//	4 bytes      CRC-32C of the text
//	uvarint      length of the text
//	the rest     segments, each of up to 256 KiB of the text:
//	  mode         1: the text itself, 2: its glyphs
//	  uvarint      length of its text
//	  uvarint      length of what follows
//	  a Zstandard frame (RFC 8878)
//
// Numbers are little-endian. Mode 1 is for text that glyphs do not shorten.
package glyph
