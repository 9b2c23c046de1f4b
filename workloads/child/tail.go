package child

import (
	"strings"
	"sync"
	"unicode"
)

// tail is a writer that keeps the last bytes written.
type tail struct {
	mutex sync.Mutex
	kept  []byte
}

// tailSize is how much of a standard error is kept, in bytes.
const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.kept = append(t.kept, p[max(0, len(p)-tailSize):]...)
	t.kept = t.kept[max(0, len(t.kept)-tailSize):]
	return len(p), nil
}

// text returns the last lines, indented, without characters that would act on a
// terminal.
func (t *tail) text() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	const most = 20
	lines := strings.Split(strings.TrimSpace(string(t.kept)), "\n")
	lines = lines[max(0, len(lines)-most):]
	if lines[0] == "" {
		return ""
	}
	for i, line := range lines {
		lines[i] = "    " + Printable(line)
	}
	return strings.Join(lines, "\n")
}

// Printable replaces what would act on a terminal by spaces and cuts very long
// texts.
func Printable(text string) string {
	const limit = 500
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
