package mangled

import "strings"

// called reads the name of a function or of data.
func (r *Reader) called() called {
	if !r.descend() {
		return called{}
	}
	defer func() { r.deep-- }()
	switch c := r.peek(); {
	case c == 'N':
		return r.nested()
	case c == 'Z':
		return r.local()
	case c == 'S':
		return r.standard()
	default:
		before := r.params
		p, conversion := r.unqualified()
		return r.perhapsTemplate(p, before, true, conversion)
	}
}

// perhapsTemplate reads the template arguments of a name outside of any scope but std.
func (r *Reader) perhapsTemplate(p part, paramsBefore int, remember, conversion bool) called {
	n := called{part: p}
	if r.peek() == 'I' {
		if remember {
			r.remember(n.part, paramsBefore)
		}
		r.arguments()
		n.end, n.template, n.returns = len(r.text), true, !conversion
	}
	return n
}

// standard reads a name in std, or one that begins with a reference.
func (r *Reader) standard() called {
	before := r.params
	if r.ahead(1) != 't' {
		return r.perhapsTemplate(r.back(false), before, false, false)
	}
	r.at += 2
	start := len(r.text)
	r.write("std::")
	p, conversion := r.unqualified()
	p.start = start
	return r.perhapsTemplate(p, before, true, conversion)
}

// local reads a name within a function.
func (r *Reader) local() called {
	r.expect('Z')
	start := r.encoding(true)
	r.expect('E')
	r.write("::")
	if r.peek() == 'd' || r.peek() == 's' {
		r.refuse()
		return called{}
	}
	n := r.called()
	n.start = start
	if r.accept('_') {
		if r.accept('_') {
			if r.number() >= 10 {
				r.expect('_')
			}
		} else {
			r.number()
		}
	} else if digit(r.peek()) {
		r.refuse()
	}
	return n
}

// nested reads a name in scopes.
func (r *Reader) nested() (n called) {
	r.expect('N')
	n.qualifiers = r.methodQualifiers()
	n.start = len(r.text)
	before := r.params
	special := false // a constructor, a destructor or a conversion
	for first := true; !r.bad; first = false {
		c := r.peek()
		if c == 'E' {
			if first {
				r.refuse()
			}
			r.at++
			n.returns = n.template && !special
			return n
		}
		if c == 'I' {
			if first || n.template {
				r.refuse()
				return n
			}
			r.arguments()
			n.template = true
		} else {
			if !first {
				r.write("::")
			}
			if special {
				r.refuse() // what is in a constructor is elsewhere
			}
			n.part, special = r.component(n.part, first)
			n.template = false
		}
		n.end = len(r.text)
		if c != 'S' && r.peek() != 'E' {
			r.remember(n.part, before)
		}
	}
	return n
}

// component reads the next name in a scope.
func (r *Reader) component(scope part, first bool) (n part, special bool) {
	next := scope
	if first {
		next = part{start: len(r.text)}
	}
	switch c := r.peek(); {
	case c == 'S':
		if !first {
			r.refuse()
			return next, false
		}
		return r.back(true), false
	case c == 'C', c == 'D' && r.ahead(1) != 'T' && r.ahead(1) != 't' && r.ahead(1) != 'C':
		kind := r.ahead(1)
		if first || kind < '0' || kind > '5' || c == 'C' && kind == '0' || c == 'D' && kind == '3' || scope.lastTo == 0 {
			r.refuse()
			return next, false
		}
		r.at += 2
		if c == 'D' {
			r.write("~")
		}
		last := r.again(part{start: scope.lastFrom, end: scope.lastTo})
		next.lastFrom, next.lastTo = last.start, last.end
		r.tags()
		return next, true
	default:
		p, conversion := r.unqualified()
		next.lastFrom, next.lastTo = p.lastFrom, p.lastTo
		return next, conversion
	}
}

// methodQualifiers reads those of a method, as they stand behind its parameters.
func (r *Reader) methodQualifiers() string {
	const longest = 4
	var letters [longest]byte
	n := 0
	for c := r.peek(); c == 'r' || c == 'V' || c == 'K'; c = r.peek() {
		if n == longest {
			r.refuse()
			return ""
		}
		letters[n] = c
		n++
		r.at++
	}
	text := ""
	if n == 1 && letters[0] == 'K' {
		text = " const"
	} else {
		for ; n > 0; n-- {
			text += qualifier(letters[n-1])
		}
	}
	switch {
	case r.accept('R'):
		text += " &"
	case r.accept('O'):
		text += " &&"
	}
	return text
}

func qualifier(letter byte) string {
	switch letter {
	case 'r':
		return " restrict"
	case 'V':
		return " volatile"
	}
	return " const"
}

// unqualified reads a name without scopes.
func (r *Reader) unqualified() (p part, conversion bool) {
	p.start = len(r.text)
	switch c := r.peek(); {
	case digit(c):
		r.source()
	case lower(c):
		conversion = r.operator()
	case c == 'L':
		r.at++
		r.source()
		if r.peek() == '_' || digit(r.peek()) && strings.Trim(r.name[r.at:], "0123456789") == "" {
			r.refuse()
		}
	case c == 'U' && r.ahead(1) == 'l':
		r.lambda()
	case c == 'U' && r.ahead(1) == 't':
		r.at += 2
		n := r.ordinal()
		r.write("{unnamed type#")
		r.decimal(n + 1)
		r.write("}")
		r.remember(part{start: p.start, end: len(r.text), lastFrom: p.start, lastTo: len(r.text)}, r.params)
	default:
		r.refuse()
	}
	p.end = len(r.text)
	p.lastFrom, p.lastTo = p.start, p.end
	r.tags()
	p.end = len(r.text)
	return p, conversion
}

// tags reads the tags that tell versions of an ABI apart.
func (r *Reader) tags() {
	for r.accept('B') {
		r.write("[abi:")
		r.source()
		r.write("]")
	}
}

// source reads a name as the source has it.
func (r *Reader) source() {
	n := r.number()
	if n == 0 || n > len(r.name)-r.at {
		r.refuse()
		return
	}
	id := r.name[r.at : r.at+n]
	r.at += n
	const anonymous = "_GLOBAL_"
	if len(id) > len(anonymous)+2 && id[0] == '_' && strings.HasPrefix(id, anonymous) && id[len(anonymous)+1] == 'N' {
		if c := id[len(anonymous)]; c == '.' || c == '_' || c == '$' {
			id = "(anonymous namespace)"
		}
	}
	r.write(id)
}

// lambda reads the type of a lambda.
func (r *Reader) lambda() {
	r.at += 2
	r.write("{lambda")
	r.lambdas++
	if r.peek() == 'T' && lower(r.ahead(1)) {
		r.refuse()
	}
	r.parameters()
	r.lambdas--
	r.expect('E')
	n := r.ordinal()
	r.write("#")
	r.decimal(n + 1)
	r.write("}")
}

func (r *Reader) decimal(n int) {
	if n >= 10 {
		r.decimal(n / 10)
	}
	r.text = append(r.text, '0'+byte(n%10))
}

// operators are the names of operators by their codes.
var operators = map[string]string{
	"nw": " new", "na": " new[]", "dl": " delete", "da": " delete[]", "aw": " co_await",
	"ps": "+", "ng": "-", "ad": "&", "de": "*", "co": "~", "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%",
	"an": "&", "or": "|", "eo": "^", "aS": "=", "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=", "rM": "%=",
	"aN": "&=", "oR": "|=", "eO": "^=", "ls": "<<", "rs": ">>", "lS": "<<=", "rS": ">>=", "eq": "==", "ne": "!=",
	"lt": "<", "gt": ">", "le": "<=", "ge": ">=", "ss": "<=>", "nt": "!", "aa": "&&", "oo": "||", "pp": "++",
	"mm": "--", "cm": ",", "pm": "->*", "pt": "->", "cl": "()", "ix": "[]",
}

// operator reads the name of an operator, and tells whether it is a conversion.
func (r *Reader) operator() (conversion bool) {
	if r.at+2 > len(r.name) {
		r.refuse()
		return false
	}
	code := r.name[r.at : r.at+2]
	r.at += 2
	r.write("operator")
	if code == "cv" {
		r.write(" ")
		r.casts++
		r.aType()
		r.casts--
		return true
	}
	name, ok := operators[code]
	if !ok {
		r.refuse()
	}
	r.write(name)
	return false
}
