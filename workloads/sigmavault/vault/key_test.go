package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyItsKeyOpensAVault(t *testing.T) {
	folder := t.TempDir()
	key := filepath.Join(folder, keyName)
	v := open(t, Config{Folder: folder})
	put(t, v, unit("x", 1, 100))
	if _, err := Open(Config{Folder: folder}); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("open twice: %v", err)
	}
	closed(t, v)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	own, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "key")
	closed(t, open(t, Config{Folder: t.TempDir(), KeyFile: other}))

	if _, err := Open(Config{Folder: folder, KeyFile: other}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("with another vault's key: %v", err)
	}
	if _, err := Open(Config{Folder: folder, KeyFile: other + "-absent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := os.Stat(other + "-absent"); err == nil {
		t.Error("a key was made for a vault that has one")
	}
	for name, text := range map[string]string{"short": string(own[:60]), "long": string(own) + "00", "no hex": strings.Repeat("g", 64), "empty": ""} {
		bad := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Folder: folder, KeyFile: bad})
		if err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") || text != "" && strings.Contains(err.Error(), text[:20]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Folder: folder}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(key, 0o400); err != nil {
		t.Fatal(err)
	}
	v = open(t, Config{Folder: folder})
	same(t, v, unit("x", 1, 100))
	closed(t, v)
}

// A new vault whose making was broken off between the key and the first write opens.
func TestKeyWithoutVault(t *testing.T) {
	folder := t.TempDir()
	if _, err := makeKey(filepath.Join(folder, keyName)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, engineName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v := open(t, Config{Folder: folder})
	put(t, v, unit("x", 1, 100))
	closed(t, v)
}

// Nothing of a unit but its name and size is readable in the files.
func TestFilesHoldNoPlainText(t *testing.T) {
	folder := t.TempDir()
	v := open(t, Config{Folder: folder})
	u := unit("visible-name", 1, 0)
	u.SemanticHash = "hidden-hash"
	u.Content = bytes.Repeat([]byte("hidden content "), 10_000)
	put(t, v, u)
	closed(t, v)
	file, err := os.ReadFile(filepath.Join(folder, engineName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte("visible-name")) {
		t.Error("the unit is not in the file, so the test shows nothing")
	}
	for _, secret := range []string{"hidden", "semantic_hash", "chunk_ids"} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("the file holds %q", secret)
		}
	}
}

// FuzzParseKey reads any text: a key or an error that does not quote it.
func FuzzParseKey(f *testing.F) {
	for _, text := range []string{"", strings.Repeat("0f", 32), strings.Repeat("0F", 32) + "\n", strings.Repeat("0", 65), "\x00", "0x" + strings.Repeat("1", 62)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseKey(text, "k")
		if (err == nil) != (len(key) == keyBytes) {
			t.Errorf("%d bytes, %v", len(key), err)
		}
	})
}

// FuzzChunkID reads any text: 16 hexadecimal digits that it writes again, or an error.
func FuzzChunkID(f *testing.F) {
	for _, text := range []string{"", "0123456789abcdef", "0123456789ABCDEF", "0123456789abcdeg", "00000000000000000"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var id ChunkID
		if id.UnmarshalText(text) != nil {
			return
		}
		if again, err := id.MarshalText(); err != nil || !bytes.EqualFold(again, text) {
			t.Errorf("%q became %q, %v", text, again, err)
		}
	})
}
