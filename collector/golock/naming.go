package golock

import (
	"strings"

	"github.com/narrows-profiler/narrows/collector/window"
)

// Wait is what an event's reason and stack say together.
type Wait struct {
	// Kind is what was waited for: "sync.Mutex", "chan receive" ...
	Kind string
	// Lock tells that it is held by somebody, so that each who lets it go is to blame for
	// those who wait.
	Lock bool
}

// Explain says what a wait was for. It is for the one goroutine that resolves stacks, as
// [Watcher.Trim] is.
func (w *Watcher) Explain(e Event) (Wait, bool) {
	t := w.target(e.Target)
	if t == nil || int(e.Reason) >= len(t.reasons) || t.reasons[e.Reason].name == "" {
		return Wait{}, false
	}
	k := t.reasons[e.Reason]
	return Wait{Kind: k.name, Lock: k.lock}, true
}

// Trim says how many of the frames at the leaf are the runtime's own way to wait and to
// wake, which Go's profiles do not show either: the rest begins in sync.(*Mutex).Lock, or
// in runtime.chanrecv1. waitGroup tells that the rest begins in a wait group's Wait,
// which has no reason of its own before Go 1.25.
func (w *Watcher) Trim(target uint32, stack []window.Frame) (drop int, waitGroup bool) {
	t := w.target(target)
	if t == nil {
		return 0, false
	}
	for i, f := range stack {
		name := w.functionAt(t, f)
		if name == "" || !isMachinery(name) {
			return i, strings.HasPrefix(name, "sync.(*WaitGroup).")
		}
	}
	return 0, false // nothing would be left
}

func (w *Watcher) functionAt(t *Target, f window.Frame) string {
	if f.Binary == nil || f.Function != nil {
		return ""
	}
	if file, err := f.Binary.File(); err != nil || !sameFile(file, t.program.file) {
		return ""
	}
	return t.program.function(f.Address)
}

// machinery are the functions between what a program calls and the scheduler.
var machinery = map[string]bool{
	"runtime.gopark": true, "runtime.goparkunlock": true, "runtime.ready": true, "runtime.goready": true, "runtime.readyWithTime": true,
	"runtime.semacquire1": true, "runtime.semrelease1": true, "runtime.semacquire": true, "runtime.semrelease": true,
	"runtime.systemstack": true, "runtime.systemstack_switch": true, "runtime.mcall": true,
	"runtime.chanrecv": true, "runtime.chansend": true, "runtime.send": true, "runtime.recv": true, "runtime.closechan": false,
	"runtime.notifyListWait": true, "runtime.notifyListNotifyOne": true, "runtime.notifyListNotifyAll": true,
	"sync.(*Mutex).lockSlow": true, "sync.(*Mutex).unlockSlow": true, "internal/sync.(*Mutex).lockSlow": true, "internal/sync.(*Mutex).unlockSlow": true,
	"sync.(*RWMutex).rUnlockSlow": true,
}

func isMachinery(name string) bool {
	name = strings.TrimSuffix(name, ".abi0")
	if machinery[name] {
		return true
	}
	// sync.runtime_SemacquireMutex and others, which are the runtime's under another name;
	// and the closure of goready, in whatever it was inlined into.
	_, inRuntime, _ := strings.Cut(name, ".")
	return strings.HasPrefix(inRuntime, "runtime_") || strings.HasPrefix(name, "runtime.") && strings.HasSuffix(name, "goready.func1")
}
