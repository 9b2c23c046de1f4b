// Package corpus makes texts of four kinds to compress, the same for the same seed
// in every run and on every host. A [Source] is made from a seed; [Source.Text]
// gives any number of texts, each different from the others.
//
// How well text can be compressed depends on how it is made, so this is how:
//
//   - English: sentences by a grammar of a dozen rules over 2,300 words, drawn as
//     Zipf's law has it. Each passage has nouns, verbs, adjectives and names of its
//     own that it returns to, as a text about something does. It makes no sense, and
//     is about as compressible as sense is: deflate makes 2.3:1 of 32 KiB of
//     literature, 2.9:1 of technical prose, and 2.6:1 of this.
//   - Code: functions, types and comments in the manner of Go, over identifiers that
//     each passage has of its own. Deflate makes 3.2:1 of it, and 3.2 to 3.5:1 of Go's
//     own library.
//   - Repeated: a passage of English of 100 to 1,000 bytes over and over: as
//     compressible as text can be.
//   - Random: random bytes in base64, the only form in which text holds such. They
//     carry 6 bits a byte, so nothing can make more than 1.33:1 of them, and what
//     makes more is not lossless.
//
// English and code are drawn from a stock of passages, made once for each source;
// no passage comes twice in a text of up to the stock's size.
package corpus
