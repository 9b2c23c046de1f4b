package corpus

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// program writes a passage of code.
type program struct {
	*prose
	// The identifiers that the passage has of its own.
	types, fields, functions, packages, variables []string
	depth                                         int
}

var builtins = strings.Fields("int string error bool []byte uint64 float64 int64 []string byte any time.Duration io.Reader context.Context")

func newProgram(w *words, random *rand.Rand) *program {
	p := &program{prose: newProse(w, random)}
	for range 5 {
		p.types = append(p.types, p.identifier(true))
		p.packages = append(p.packages, p.nouns.draw(random))
	}
	for range 9 {
		p.fields = append(p.fields, p.identifier(p.one(40)))
		p.functions = append(p.functions, p.verbs.draw(random)+p.identifier(true), title(p.verbs.draw(random)))
		short := p.nouns.draw(random)
		p.variables = append(p.variables, short, short[:1], p.identifier(false))
	}
	p.variables = append(p.variables, "i", "n", "err", "ok", "ctx", "buf")
	return p
}

// identifier makes up a name of one or two words.
func (p *program) identifier(exported bool) string {
	text := p.noun()
	if p.one(60) {
		first := p.noun()
		if p.one(40) {
			first = p.adjective()
		}
		text = first + title(text)
	}
	if exported {
		return title(text)
	}
	return text
}

// write returns declarations of at least so many bytes.
func (p *program) write(length int) []byte {
	for len(p.text) < length {
		if p.one(15) {
			p.declareType()
		} else {
			p.declareFunction()
		}
	}
	return p.text
}

func (p *program) put(parts ...string) {
	for _, part := range parts {
		p.text = append(p.text, part...)
	}
}

// line writes an indented line.
func (p *program) line(parts ...string) {
	p.put(strings.Repeat("\t", p.depth))
	p.put(parts...)
	p.put("\n")
}

// comment writes sentences after "//", in lines of about 72 bytes.
func (p *program) comment(subject string) {
	spare := p.text
	p.text = nil
	if subject != "" {
		p.put(subject, " ", plural(p.verb()), " ")
		p.nounPhrase()
		p.text = append(p.text[:len(p.text)-1], ". "...)
	}
	for p.one(45) {
		p.sentence()
		p.put(" ")
	}
	sentences := strings.Fields(string(p.text))
	p.text = spare
	width := 0
	for _, word := range sentences {
		if width == 0 || width+len(word) > 72 {
			if width > 0 {
				p.put("\n")
			}
			p.put(strings.Repeat("\t", p.depth), "//")
			width = 2
		}
		p.put(" ", word)
		width += len(word) + 1
	}
	if width > 0 {
		p.put("\n")
	}
}

func (p *program) kind() string {
	if p.one(35) {
		return oneOf(p.random, []string{"*", "[]", ""}) + oneOf(p.random, p.types)
	}
	if p.one(10) {
		return oneOf(p.random, p.packages) + "." + oneOf(p.random, p.types)
	}
	return oneOf(p.random, builtins)
}

func (p *program) declareType() {
	of := oneOf(p.random, p.types)
	p.comment(of)
	p.line("type ", of, " struct {")
	p.depth++
	for range 2 + p.random.IntN(6) {
		field := oneOf(p.random, p.fields) + " " + p.kind()
		if p.one(25) {
			field += " // " + p.adjective() + " " + p.noun()
		}
		p.line(field)
	}
	p.depth--
	p.line("}")
	p.put("\n")
}

func (p *program) declareFunction() {
	called := oneOf(p.random, p.functions)
	if p.one(70) {
		p.comment(called)
	}
	p.put("func ")
	if p.one(60) {
		of := oneOf(p.random, p.types)
		p.put("(", strings.ToLower(of[:1]), " *", of, ") ")
	}
	p.put(called, "(")
	for i := range p.random.IntN(4) {
		if i > 0 {
			p.put(", ")
		}
		p.put(oneOf(p.random, p.variables), " ", p.kind())
	}
	p.put(oneOf(p.random, []string{") {\n", ") error {\n", ") (" + p.kind() + ", error) {\n", ") " + p.kind() + " {\n"}))
	p.depth++
	p.block(3 + p.random.IntN(8))
	p.line("return ", p.value())
	p.depth--
	p.line("}")
	p.put("\n")
}

// block writes statements.
func (p *program) block(n int) {
	for range n {
		if p.one(8) {
			p.comment("")
		}
		p.statement()
	}
}

func (p *program) variable() string { return oneOf(p.random, p.variables) }

// value writes an expression.
func (p *program) value() string {
	v := p.variable()
	switch p.random.IntN(12) {
	case 0:
		return strconv.Itoa(p.random.IntN(1 + p.random.IntN(1000)))
	case 1:
		return "nil"
	case 2:
		return strconv.Quote(p.adjective() + " " + p.noun())
	case 3, 4:
		return v + "." + oneOf(p.random, p.fields)
	case 5, 6:
		return p.call()
	case 7:
		return "len(" + v + ")"
	case 8:
		return v + oneOf(p.random, []string{" + ", " - ", " * ", " | ", " << "}) + p.variable()
	case 9:
		return v + "[" + p.variable() + "]"
	}
	return v
}

func (p *program) call() string {
	callee := oneOf(p.random, p.functions)
	switch p.random.IntN(3) {
	case 0:
		callee = p.variable() + "." + callee
	case 1:
		callee = oneOf(p.random, p.packages) + "." + title(callee)
	}
	arguments := make([]string, p.random.IntN(3))
	for i := range arguments {
		arguments[i] = p.variable()
		if p.one(25) {
			arguments[i] += "." + oneOf(p.random, p.fields)
		}
	}
	return callee + "(" + strings.Join(arguments, ", ") + ")"
}

func (p *program) condition() string {
	switch p.random.IntN(4) {
	case 0:
		return p.variable() + " == nil"
	case 1:
		return "!" + p.value()
	}
	return p.variable() + oneOf(p.random, []string{" == ", " != ", " < ", " > ", " >= ", " <= "}) + p.value()
}

// mostDepth keeps blocks from nesting for ever.
const mostDepth = 4

func (p *program) statement() {
	choice := p.random.IntN(16)
	if p.depth > mostDepth {
		choice = 6 + choice%10
	}
	switch choice {
	case 0, 1:
		p.nested("if "+p.condition()+" {", 1+p.random.IntN(3))
	case 2:
		p.nested("for "+oneOf(p.random, []string{"_, ", "i, ", ""})+p.variable()+" := range "+p.value()+" {", 1+p.random.IntN(4))
	case 3, 4, 5:
		p.line(p.variable(), ", err := ", p.call())
		p.line("if err != nil {")
		p.line("\treturn ", oneOf(p.random, []string{"err", "nil, err", "fmt.Errorf(\"" + p.verb() + "ing the " + p.noun() + ": %w\", err)"}))
		p.line("}")
	case 6, 7, 8:
		p.line(p.variable(), " := ", p.value())
	case 9, 10:
		p.line(p.variable(), ".", oneOf(p.random, p.fields), " = ", p.value())
	case 11:
		p.line(p.variable(), oneOf(p.random, []string{"++", " += ", " -= "})+p.variable())
	case 12:
		v := p.variable()
		p.line(v, " = append(", v, ", ", p.value(), ")")
	default:
		p.line(p.call())
	}
}

// nested writes a statement with a block.
func (p *program) nested(head string, n int) {
	p.line(head)
	p.depth++
	p.block(n)
	p.depth--
	p.line("}")
}
