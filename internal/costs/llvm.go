package costs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/symbolizer"
)

// llvm is llvm-symbolizer and the file that says what it is to name.
type llvm struct {
	path, name string
	input      string
}

// newLLVM writes its input into a folder.
func newLLVM(c corpus, dir string) (llvm, error) {
	names := []string{"llvm-symbolizer"}
	for version := 22; version >= 14; version-- {
		names = append(names, fmt.Sprintf("llvm-symbolizer-%d", version))
	}
	path, err := lookTool(names...)
	if err != nil {
		return llvm{}, err
	}
	var input bytes.Buffer
	for _, one := range c.binaries {
		for _, at := range one.addresses {
			fmt.Fprintf(&input, "%q %#x\n", one.path, at)
		}
	}
	file := filepath.Join(dir, "addresses")
	if err := os.WriteFile(file, input.Bytes(), 0o600); err != nil {
		return llvm{}, fmt.Errorf("writing addresses for %s: %w", path, err)
	}
	return llvm{path, filepath.Base(path), file}, nil
}

// run has one process of it name all addresses with its defaults: names demangled, inlined
// functions, lines. They come from a file and go to /dev/null, which is the fastest that it
// can be asked: through pipes it takes up to 1.4 times as long.
func (l llvm) run(ctx context.Context) (spent, error) {
	input, err := os.Open(l.input)
	if err != nil {
		return spent{}, fmt.Errorf("opening the addresses: %w", err)
	}
	defer input.Close()
	cmd := exec.CommandContext(ctx, l.path)
	cmd.Stdin = input
	took, err := timed(cmd)
	if err != nil {
		return spent{}, err
	}
	return spent{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// sampledAddresses is how many names are compared.
const sampledAddresses = 2000

// agreement counts the addresses of a sample at which both have the same functions,
// inlined ones included, by their names before demangling, which every tool does in its
// own way.
func (l llvm) agreement(ctx context.Context, c corpus) (same, compared int, err error) {
	p := c.profile()
	random := rand.New(rand.NewPCG(3, 4))
	random.Shuffle(len(p.Location), func(i, j int) { p.Location[i], p.Location[j] = p.Location[j], p.Location[i] })
	p.Location = p.Location[:sampledAddresses]
	s := symbolizer.New(symbolizer.Config{Binaries: openFiles{}, MaxBinaries: corpusBinaries})
	defer s.Close()
	if _, err := s.Symbolize(ctx, p); err != nil {
		return 0, 0, err
	}
	var input bytes.Buffer
	for _, at := range p.Location {
		fmt.Fprintf(&input, "%q %#x\n", at.Mapping.File, at.Address)
	}
	cmd := exec.CommandContext(ctx, l.path, "--no-demangle")
	var output bytes.Buffer
	cmd.Stdin, cmd.Stdout = &input, &output
	if _, err := timed(cmd); err != nil {
		return 0, 0, err
	}
	// Each answer is lines of functions and of places in turn, and then an empty one.
	answers := strings.Split(strings.TrimSuffix(output.String(), "\n\n"), "\n\n")
	if len(answers) != len(p.Location) {
		return 0, 0, fmt.Errorf("%s gave %d answers to %d questions", l.name, len(answers), len(p.Location))
	}
	for i, answer := range answers {
		if sameFunctions(p.Location[i], strings.Split(answer, "\n")) {
			same++
		}
	}
	return same, len(answers), nil
}

func sameFunctions(at *profile.Location, answer []string) bool {
	if len(answer) != 2*len(at.Line) {
		return false
	}
	for i, line := range at.Line {
		if plainName(line.Function.SystemName) != plainName(answer[2*i]) {
			return false
		}
	}
	return true
}

// plainName cuts off the version of a symbol, and what compilers append to the symbols of
// changed copies, which debug information does not have.
func plainName(name string) string {
	for _, mark := range []string{"@", ".constprop.", ".isra.", ".part.", ".cold"} {
		name, _, _ = strings.Cut(name, mark)
	}
	return name
}
