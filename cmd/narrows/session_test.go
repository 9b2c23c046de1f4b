package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// checkSession checks all that holds for every session, whole or broken off: each
// JSON file is as its schema says, each profile is valid and is the sum of its
// windows, and only their owner reads the files.
func checkSession(t *testing.T, dir string) *session.Session {
	t.Helper()
	s, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*jsonschema.Schema{}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		// One that was killed may have been writing.
		cutOff := s.Status == session.Recording && strings.HasSuffix(path, ".partial")
		if !entry.IsDir() && !cutOff {
			checkFile(t, schemas, dir, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkFile checks one file of a session by what its name promises.
func checkFile(t *testing.T, schemas map[string]*jsonschema.Schema, dir, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case strings.HasSuffix(name, ".json"):
		validate(t, schemas, schemaOf(name), name, content)
	case strings.HasSuffix(name, ".ndjson"):
		lines := bufio.NewScanner(bytes.NewReader(content))
		for lines.Scan() {
			validate(t, schemas, schemaOf(name), name, lines.Bytes())
		}
		if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
			t.Errorf("the last line of %s is not whole", name)
		}
	case strings.HasSuffix(name, ".pb.gz"):
		p, err := profile.ParseData(content)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := p.CheckValid(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	case strings.HasSuffix(name, ".svg"):
		checkSVG(t, content)
	case strings.HasSuffix(name, ".md"):
	default:
		t.Errorf("the session holds %s, of no known kind", name)
	}
}

// schemaOf is the schema that a file of a session follows.
func schemaOf(name string) string {
	switch folder, _, nested := strings.Cut(name, "/"); {
	case nested && folder == "metrics":
		return "metrics"
	case nested && folder == "profiles":
		return "profile"
	case nested && folder == "requests":
		return "request"
	}
	return strings.TrimSuffix(name, ".json")
}

func validate(t *testing.T, schemas map[string]*jsonschema.Schema, schema, name string, content []byte) {
	t.Helper()
	compiled := schemas[schema]
	if compiled == nil {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		var err error
		if compiled, err = compiler.Compile(filepath.Join("..", "..", "docs", "schema", schema+".schema.json")); err != nil {
			t.Fatalf("%s has no schema: %v", name, err)
		}
		schemas[schema] = compiled
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := compiled.Validate(document); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// readProfile reads a valid profile.
func readProfile(t *testing.T, path string) *profile.Profile {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.ParseData(content)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// sums adds up each sample type.
func sums(p *profile.Profile) map[string]int64 {
	total := map[string]int64{}
	for _, s := range p.Sample {
		for i, v := range s.Value {
			total[p.SampleType[i].Type] += v
		}
	}
	return total
}

// weight adds up the sample type cpu over the samples that a test picks.
func weight(p *profile.Profile, pick func(*profile.Sample) bool) int64 {
	total := int64(0)
	for _, s := range p.Sample {
		if pick(s) {
			total += s.Value[1]
		}
	}
	return total
}

// pids are the processes that the samples are of, with how many there are.
func pids(p *profile.Profile) map[int64]int64 {
	found := map[int64]int64{}
	for _, s := range p.Sample {
		for _, pid := range s.NumLabel["pid"] {
			found[pid] += s.Value[0]
		}
	}
	return found
}

// pprof runs go tool pprof without a network or a home of its own.
func pprof(t *testing.T, args ...string) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs go tool pprof: ", err)
	}
	cmd := exec.Command(goTool, append([]string{"tool", "pprof", "-symbolize=none"}, args...)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("go tool pprof %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// ownedBy checks that a file or all of a folder belongs to a user.
func ownedBy(t *testing.T, root string, uid, gid uint32) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid {
			t.Errorf("%s belongs to %d:%d, want %d:%d", path, stat.Uid, stat.Gid, uid, gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// decode reads JSON that a command printed.
func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
}
