package debuginfod_test

import (
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/debuginfod"
)

// debugFile returns an ELF file and its build ID.
func debugFile(t *testing.T) (data []byte, id string) {
	t.Helper()
	// A 64-bit little-endian executable with one segment of notes, which has nothing
	// but a build ID.
	id = "00112233445566778899aabbccddeeff00112233"
	data = make([]byte, 64+56)
	copy(data, "\x7fELF\x02\x01\x01")
	data[16], data[18], data[32], data[52], data[54], data[56] = 2, 62, 64, 64, 56, 1
	note := "\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33"
	data[64], data[64+8], data[64+32] = 4, 64+56, byte(len(note))
	return append(data, note...), id
}

// A server answers as its handler does and counts what it is asked.
func server(t *testing.T, handler http.HandlerFunc) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func client(t *testing.T, c debuginfod.Config) *debuginfod.Client {
	t.Helper()
	if c.Folder == "" {
		c.Folder = filepath.Join(t.TempDir(), "kept")
	}
	made, err := debuginfod.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	return made
}

func fetch(t *testing.T, c *debuginfod.Client, id string) ([]byte, error) {
	t.Helper()
	f, size, err := c.Fetch(t.Context(), id)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return data, nil
}

func TestFetchedOnceAndKept(t *testing.T) {
	data, id := debugFile(t)
	empty, askedEmpty := server(t, http.NotFound)
	url, asked := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/buildid/"+id+"/debuginfo" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Write(data)
	})
	folder := filepath.Join(t.TempDir(), "deep", "kept")
	for range 2 { // another client finds what the first kept
		c := client(t, debuginfod.Config{URLs: []string{empty + "/", url}, Folder: folder})
		for range 2 {
			got, err := fetch(t, c, id)
			if err != nil || string(got) != string(data) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
	}
	if asked.Load() != 1 || askedEmpty.Load() != 1 {
		t.Errorf("the servers were asked %d and %d times, want once", askedEmpty.Load(), asked.Load())
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
}

// What servers may answer, and that a build ID is not asked for again.
func TestAnswersThatAreRefused(t *testing.T) {
	data, id := debugFile(t)
	other := append([]byte(nil), data...)
	other[len(other)-1]++
	release := make(chan struct{})
	defer close(release)
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"none":          {http.NotFound, debuginfod.ErrNotFound},
		"text":          {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, debuginfod.ErrRefused},
		"another build": {func(w http.ResponseWriter, _ *http.Request) { w.Write(other) }, debuginfod.ErrRefused},
		"failure":       {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, debuginfod.ErrNotFound},
		"too large, and says so": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			w.Write(data)
		}, binary.ErrTooLarge},
		"too large, and does not": {func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				w.Write(make([]byte, 1000))
			}
		}, binary.ErrTooLarge},
		"large once decompressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			z.Write(make([]byte, 10_000_000))
		}, binary.ErrTooLarge},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(data[:50])
		}, debuginfod.ErrNotFound},
		"silent": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, context.DeadlineExceeded},
		"in circles": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, debuginfod.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			url, asked := server(t, test.handler)
			folder := t.TempDir()
			if err := os.Chmod(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			timeout := time.Minute
			if name == "silent" {
				timeout = 50 * time.Millisecond
			}
			c := client(t, debuginfod.Config{URLs: []string{url}, Folder: folder, MaxFile: 100_000, Timeout: timeout})
			if _, err := fetch(t, c, id); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			before := asked.Load()
			if _, err := fetch(t, c, id); !errors.Is(err, debuginfod.ErrNotFound) || asked.Load() != before {
				t.Errorf("again: %v, asked %d times more", err, asked.Load()-before)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestServerThatIsGone(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, id := debugFile(t)
	c := client(t, debuginfod.Config{URLs: []string{s.URL}})
	if _, err := fetch(t, c, id); !errors.Is(err, debuginfod.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if _, err := fetch(t, c, "ff"+id[2:]); !errors.Is(err, debuginfod.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

func TestBuildIDsThatAreNone(t *testing.T) {
	url, asked := server(t, http.NotFound)
	c := client(t, debuginfod.Config{URLs: []string{url}})
	for _, id := range []string{"", "../../etc/passwd", "content:0011223344556677", "ABCDEF0011223344", "abc", strings.Repeat("ab", 100), "0011/223"} {
		if _, err := fetch(t, c, id); !errors.Is(err, debuginfod.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", id, err)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}

func TestBudget(t *testing.T) {
	_, id := debugFile(t)
	url, asked := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, debuginfod.Config{URLs: []string{url}, Timeout: 30 * time.Millisecond, Budget: 20 * time.Millisecond})
	for _, prefix := range []string{"01", "02", "03"} {
		if _, err := fetch(t, c, prefix+id[2:]); err == nil {
			t.Error("a silent server answered")
		}
	}
	if asked.Load() > 1 {
		t.Errorf("the server was asked %d times in spite of the budget", asked.Load())
	}
}

// TestRoom checks that the files used longest ago make room, and that what lies in the
// folder is not believed either.
func TestRoom(t *testing.T) {
	data, id := debugFile(t)
	url, asked := server(t, func(w http.ResponseWriter, r *http.Request) {
		answer := append([]byte(nil), data...)
		wanted := strings.Split(r.URL.Path, "/")[2]
		for i := range 20 {
			answer[len(answer)-20+i] = hexByte(wanted[2*i:])
		}
		w.Write(answer)
	})
	folder := filepath.Join(t.TempDir(), "kept")
	c := client(t, debuginfod.Config{URLs: []string{url}, Folder: folder, MaxFolder: 2 * int64(len(data))})
	for _, prefix := range []string{"01", "02", "01", "03"} {
		if _, err := fetch(t, c, prefix+id[2:]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // longer than the times of files are coarse
	}
	if _, err := os.Stat(filepath.Join(folder, "02"+id[2:]+".debug")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file used longest ago is kept: %v", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("%v are kept, %v", entries, err)
	}
	before := asked.Load()
	if err := os.WriteFile(filepath.Join(folder, "01"+id[2:]+".debug"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(t, c, "01"+id[2:]); err != nil || asked.Load() != before+1 || string(got) == string(data) {
		t.Errorf("a file of another build in the folder was taken, %v", err)
	}
	link := filepath.Join(folder, "04"+id[2:]+".debug")
	if err := os.Symlink("/etc/hostname", link); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, c, "04"+id[2:]); err != nil {
		t.Errorf("a link in the folder: %v", err)
	}
}

func hexByte(text string) byte {
	digit := func(c byte) byte { return byte(strings.IndexByte("0123456789abcdef", c)) }
	return digit(text[0])<<4 | digit(text[1])
}

func TestFoldersAndServersThatAreRefused(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := debuginfod.New(debuginfod.Config{Folder: open}); !errors.Is(err, debuginfod.ErrUnsafeFolder) {
		t.Errorf("a folder that others may write to: %v", err)
	}
	for _, url := range []string{"file:///etc", "debuginfod.example.org", "ftp://example.org", "http://", ":"} {
		if c, err := debuginfod.New(debuginfod.Config{URLs: []string{url}, Folder: t.TempDir()}); err == nil {
			c.Close()
			t.Errorf("%q was taken for a server", url)
		}
	}
}
