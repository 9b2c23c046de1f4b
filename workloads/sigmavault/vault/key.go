package vault

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyBytes = 32 // AES-256
	keyName  = "sigmavault.key"
)

// readKey reads a key file: 64 hexadecimal digits, of a file that only its owner
// can read.
func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the key: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; !info.Mode().IsRegular() || open != 0 {
		return nil, fmt.Errorf("the key %s has mode %v: make it a file that only you can read (chmod 600 %s)", path, info.Mode(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	return parseKey(text, path)
}

// parseKey says nothing of the text in its errors: it may be a key all the same.
func parseKey(text []byte, path string) ([]byte, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("the key %s is not %d hexadecimal digits", path, 2*keyBytes)
	}
	return key, nil
}

// makeKey makes a key and does not return before it is on disk: data must never be
// sealed under a key that may be lost.
func makeKey(path string) (key []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("making the key %s: %w", path, err)
		}
	}()
	key = make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%x\n", key)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return key, syncFolder(filepath.Dir(path))
}

// findKey returns the key of a vault; one is made only with a new vault.
func findKey(path string, isNew bool) ([]byte, error) {
	key, err := readKey(path)
	if isNew && errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	return key, err
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the folder to flush it: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
