package costs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// benchmarkResults holds what Go benchmarks measured: by the benchmark's name,
// without the number of CPUs, and unit, one value for each repetition.
type benchmarkResults map[string]map[string][]float64

// runBenchmarks runs packages' benchmarks with `go test`, passing on what it
// prints.
func runBenchmarks(ctx context.Context, pattern string, count int, out io.Writer, packages ...string) (benchmarkResults, error) {
	args := append([]string{"test", "-run", "^$", "-bench", pattern, "-benchtime", "200ms", "-count", strconv.Itoa(count), "-benchmem"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("running benchmarks: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("running benchmarks: %w", err)
	}
	results, parseErr := parseBenchmarks(io.TeeReader(output, out))
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("running benchmarks: %w", err)
	}
	return results, parseErr
}

// cpuSuffix is the GOMAXPROCS that go test appends to names where it is not 1.
var cpuSuffix = regexp.MustCompile(`-\d+$`)

// parseBenchmarks reads the Go benchmark data format (go.dev/design/14313-benchmark-format):
// lines of a name that starts with "Benchmark", a number of iterations, and pairs of
// value and unit. Other lines are none of its business.
func parseBenchmarks(r io.Reader) (benchmarkResults, error) {
	results := benchmarkResults{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := cpuSuffix.ReplaceAllString(fields[0], "")
		if results[name] == nil {
			results[name] = map[string][]float64{}
		}
		for i := 2; i < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("reading the result of %s: %w", name, err)
			}
			results[name][fields[i+1]] = append(results[name][fields[i+1]], value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading benchmark results: %w", err)
	}
	return results, nil
}
