package session

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
)

// File is a file of the session that is being written. It gets its name only
// when [File.Close] succeeds; until then, and after an error, the name is not
// there at all (or still holds what it held before).
type File struct {
	folder  *folder
	file    *os.File
	name    string
	partial string
	err     error // the first failed write
	closed  bool
	// ownsFolder says that the folder was opened for this file alone.
	ownsFolder bool
}

// create starts a file under a temporary name beside its final one.
func (f *folder) create(name string) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	dir, base := path.Split(name)
	if err := f.makeFolders(path.Clean(dir)); err != nil {
		return nil, err
	}
	partial := dir + "." + base + "." + rand.Text()[:8] + partialSuffix
	file, err := f.root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("creating %s: %w", name, advise(err))
	}
	f.give(file)
	return &File{folder: f, file: file, name: name, partial: partial}, nil
}

// Write appends to the file. After an error every later call returns it again,
// and Close discards the file.
func (w *File) Write(data []byte) (int, error) {
	if w.closed {
		return 0, fmt.Errorf("writing %s: %w", w.name, os.ErrClosed)
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.file.Write(data)
	if err != nil {
		w.err = fmt.Errorf("writing %s: %w", w.name, advise(err))
		return n, w.err
	}
	return n, nil
}

// Close syncs the file and gives it its name, replacing an older file of that
// name. If anything failed, then or before, no file is left and the error says
// why.
func (w *File) Close() error {
	if w.closed {
		return fmt.Errorf("closing %s: %w", w.name, os.ErrClosed)
	}
	if w.err != nil {
		w.Discard()
		return w.err
	}
	w.closed = true
	defer w.release()
	err := errors.Join(w.file.Sync(), w.file.Close())
	if err == nil {
		err = w.folder.root.Rename(w.partial, w.name)
	}
	if err != nil {
		w.folder.root.Remove(w.partial)
		return fmt.Errorf("writing %s: %w", w.name, advise(err))
	}
	return w.folder.syncFolder(path.Dir(w.name))
}

// Discard drops what was written. It does nothing after Close.
func (w *File) Discard() {
	if w.closed {
		return
	}
	w.closed = true
	defer w.release()
	w.file.Close()
	w.folder.root.Remove(w.partial)
}

// release closes the folder if nobody else uses it.
func (w *File) release() {
	if w.ownsFolder {
		w.folder.root.Close()
	}
}
