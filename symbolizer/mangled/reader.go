package mangled

import "strings"

const (
	// maxText bounds the text that is made on the way, and with it the work: back
	// references let a short name stand for an enormous one.
	maxText = 32 << 10
	// maxAnswer bounds the answer; longer ones are refused.
	maxAnswer = 16 << 10
	maxDepth  = 100
)

// A Reader reads one name after the other. The zero value is ready to use. It is not safe
// for concurrent use.
type Reader struct {
	name  string
	at    int
	text  []byte // all that was written of this name
	aside []byte // what was taken out of it, but may be referred to
	bad   bool   // it is refused
	deep  int

	parts    []part // that the name may refer back to, in order
	params   int    // how many template parameters were written so far
	args     []part // of the templates that are being read, the innermost last
	latest   []part // of the template that was read last
	elements []part // of packs among arguments
	scopes   int    // how many function templates are around
	scope    []part // the arguments of the one that is
	of       int    // which it is
	named    int    // how many there were
	lambdas  int    // how many lists of a lambda's parameters are around
	casts    int    // how many conversion operators are
}

// A part is a piece of the text.
type part struct {
	start, end         int
	lastFrom, lastTo   int // its last name without template arguments and tags
	split              int // where declarators go into a function's type; 0 if it is none
	first, count       int // of a pack's elements
	kind               kind
	pack, ofParameters bool
	of                 int  // Reader.of at the time: parameters mean others elsewhere
	aside              bool // it is not in the text any more
}

// move says that the part is elsewhere.
func (p *part) move(by int) {
	p.start, p.end, p.lastFrom, p.lastTo = p.start+by, p.end+by, p.lastFrom+by, p.lastTo+by
	if p.split > 0 {
		p.split += by
	}
}

// A kind is what matters of a type to what is put around it.
type kind uint8

const (
	plain kind = iota
	reference
	rvalue
	qualified
	function // not pointed to
	unusual  // must not be referred to
)

// Append appends the readable form of a name, and tells whether it knows it.
func (r *Reader) Append(to []byte, name string) ([]byte, bool) {
	*r = Reader{
		name: name, text: r.text[:0], aside: r.aside[:0], parts: r.parts[:0], args: r.args[:0], latest: r.latest[:0],
		elements: r.elements[:0], scope: r.scope[:0],
	}
	start := 0
	switch {
	case !strings.HasPrefix(name, "_Z"):
		return to, false
	case rustlike(name):
		r.rust()
	default:
		r.at = 2
		start = r.encoding(false)
		r.clones()
	}
	if r.bad || r.at != len(name) || len(r.text)-start > maxAnswer {
		return to, false
	}
	return append(to, r.text[start:]...), true
}

// refuse gives the name up. Everything then ends soon, since nothing is left to read.
func (r *Reader) refuse() {
	r.bad = true
	r.at = len(r.name)
}

func (r *Reader) write(s string) {
	r.text = append(r.text, s...)
}

// peek returns the next byte, 0 at the end.
func (r *Reader) peek() byte { return r.ahead(0) }

func (r *Reader) ahead(n int) byte {
	if r.at+n < len(r.name) {
		return r.name[r.at+n]
	}
	return 0
}

// accept passes over a byte if it is the next one.
func (r *Reader) accept(c byte) bool {
	if r.at < len(r.name) && r.name[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *Reader) expect(c byte) {
	if !r.accept(c) {
		r.refuse()
	}
}

// again writes a part once more.
func (r *Reader) again(p part) part {
	if len(r.text)+p.end-p.start > maxText {
		r.refuse()
		return part{start: len(r.text), end: len(r.text)}
	}
	from := r.text
	if p.aside {
		from = r.aside
	}
	moved := len(r.text) - p.start
	r.text = append(r.text, from[p.start:p.end]...)
	p.move(moved)
	p.aside = false
	return p
}

// remember adds a part that the name may refer back to.
func (r *Reader) remember(p part, paramsBefore int) {
	p.ofParameters, p.of = r.params != paramsBefore, r.of
	r.parts = append(r.parts, p)
	if len(r.text) > maxText {
		r.refuse()
	}
}

// descend counts how deep things are in each other.
func (r *Reader) descend() bool {
	if r.deep++; r.deep > maxDepth {
		r.refuse()
		return false
	}
	return true
}

func digit(c byte) bool { return c-'0' <= 9 }
func lower(c byte) bool { return c-'a' < 26 }
func upper(c byte) bool { return c-'A' < 26 }

// number reads a decimal number.
func (r *Reader) number() int {
	if !digit(r.peek()) {
		r.refuse()
		return 0
	}
	n := 0
	for digit(r.peek()) {
		if n = n*10 + int(r.name[r.at]-'0'); n > 1<<24 {
			r.refuse()
			return 0
		}
		r.at++
	}
	return n
}

// ordinal reads what counts things of a kind: "_" is 0, "0_" is 1 and so on.
func (r *Reader) ordinal() int {
	if r.accept('_') {
		return 0
	}
	n := r.number()
	r.expect('_')
	return n + 1
}

// clones reads what compilers append to the names of changed copies.
func (r *Reader) clones() {
	for r.peek() == '.' && (lower(r.ahead(1)) || digit(r.ahead(1)) || r.ahead(1) == '_') {
		from := r.at
		for r.at += 2; lower(r.peek()) || digit(r.peek()) || r.peek() == '_'; r.at++ {
		}
		for r.peek() == '.' && digit(r.ahead(1)) {
			for r.at += 2; digit(r.peek()); r.at++ {
			}
		}
		r.write(" [clone ")
		r.write(r.name[from:r.at])
		r.write("]")
	}
}
