package alloc

import (
	"errors"
	"fmt"
	"time"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/process"
)

// lookAt looks for allocators in a process.
func (w *Watcher) lookAt(pid uint32, mappings []process.Mapping) {
	w.mu.Lock()
	t := w.targets[pid]
	w.mu.Unlock()
	if t == nil {
		if t = w.looked[pid]; t == nil {
			t = &Target{PID: pid, attached: map[fileID]bool{}, known: map[place]bool{}}
			w.looked[pid] = t
		}
	}
	if t.Detached != nil {
		return // it is not probed again
	}
	for _, m := range mappings {
		if m.Binary == nil || m.Binary.Anonymous() {
			continue
		}
		found := w.find(t, m.Binary)
		if found.isGo {
			w.mu.Lock()
			t.Go = true
			w.mu.Unlock()
		}
		if found.allocator == nil {
			continue
		}
		if _, ok := found.allocator.bias(found.allocator.sites[0], m); !ok {
			continue // another part of the file
		}
		path, file := mappedFile(t.PID, m, found.allocator.path)
		if t.known[place{file, m.Start}] {
			continue
		}
		t.known[place{file, m.Start}] = true
		if err := w.probe(t, found.allocator, m, path, file); err != nil {
			w.fail(t.detach())
			w.mu.Lock()
			t.end(err)
			delete(w.targets, t.PID)
			w.mu.Unlock()
			return
		}
	}
	w.mu.Lock()
	t.Probed = len(t.links) > 0
	w.mu.Unlock()
}

// find looks at a file, once.
func (w *Watcher) find(t *Target, b *process.Binary) looked {
	if found, known := w.known[b]; known {
		return found
	}
	var found looked
	file, err := b.File()
	if err == nil {
		_, goErr := file.GoTable()
		found.isGo = goErr == nil
		found.allocator, err = newAllocator(b)
		if err != nil && !errors.Is(err, errNoAllocator) {
			t.Detached = fmt.Errorf("%s: %w", b.Path, err)
		}
	}
	w.known[b] = found
	return found
}

// probe sets the probes of one allocator, which are in the file wherever it is mapped.
func (w *Watcher) probe(t *Target, a *allocator, m process.Mapping, path string, file fileID) error {
	w.mu.Lock()
	isNew := w.targets[t.PID] == nil
	if isNew {
		t.Number = uint32(len(w.numbered))
	}
	w.mu.Unlock()
	if t.Number >= maxTargets {
		return errTooMany
	}
	if err := t.describe(&w.objects, a, m); err != nil {
		return err
	}
	if isNew { // what it allocates may arrive before attach returns
		w.mu.Lock()
		w.numbered = append(w.numbered, t)
		w.targets[t.PID] = t
		t.Began = accounting.Monotonic()
		w.mu.Unlock()
		delete(w.looked, t.PID)
		t.began = time.Now()
		t.measured = w.measure(t, t.began)
	}
	if t.attached[file] {
		return nil
	}
	t.attached[file] = true
	if err := w.attach(t, a, path); err != nil {
		return fmt.Errorf("probing process %d: %w", t.PID, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Allocators = append(t.Allocators, m.Binary.Path)
	for _, s := range a.sites {
		t.Sites = append(t.Sites, s.name+" "+s.where.String())
	}
	return nil
}

// detach takes a process's probes away.
func (w *Watcher) detach(pid uint32, replaced bool, reason error) {
	w.mu.Lock()
	t := w.targets[pid]
	w.mu.Unlock()
	if t == nil {
		return
	}
	w.count(t)
	err := t.detach()
	w.mu.Lock()
	t.replaced = replaced
	if t.Detached == nil {
		t.end(reason)
	}
	if errors.Is(reason, ErrGone) { // else it stays, so that it is not probed again
		delete(w.targets, pid)
	}
	w.mu.Unlock()
	w.fail(err)
}
