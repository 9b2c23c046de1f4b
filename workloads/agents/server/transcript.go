package server

import (
	"strings"
	"sync"
)

// transcript is what was asked and answered, with room to go on with it.
type transcript struct {
	asked, answered string
	room            []byte
}

// transcriptRoom is the room that each has.
const transcriptRoom = 64 << 10

// transcripts are kept so that a later task can go on with an earlier one. Nothing ever forgets
// one: a planted fault.
type transcripts struct {
	mu   sync.Mutex
	kept []*transcript
}

// keep keeps what was asked and answered. A nil list keeps nothing.
func (t *transcripts) keep(asked, answered string) {
	if t == nil {
		return
	}
	kept := &transcript{strings.Clone(asked), strings.Clone(answered), make([]byte, transcriptRoom)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, kept)
}
