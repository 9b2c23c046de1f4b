package alloc

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// distances is the kernel's own code, compiled for user space: for each random number that it
// reads it prints the distance to the next point.
const distances = `
#include <stdio.h>
#include "exponential.h"
static __u32 table[LOG_STEPS + 1];
int main(void)
{
	unsigned long long mean, random;
	for (int i = 0; i <= LOG_STEPS; i++)
		if (scanf("%u", &table[i]) != 1)
			return 1;
	while (scanf("%llu %llu", &mean, &random) == 2)
		printf("%llu %llu\n", (unsigned long long)minus_log(random | !random, table), (unsigned long long)distance(random, mean, table));
	return 0;
}
`

// TestDistance compares with floating point, and asks whether what is taken is taken as often
// as the weights suppose.
func TestDistance(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc")
	}
	path := filepath.Join(t.TempDir(), "distances")
	build := exec.Command(gcc, "-O2", "-I../../bpf", "-x", "c", "-o", path, "-")
	build.Stdin = strings.NewReader(distances)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var input bytes.Buffer
	for _, entry := range LogTable() {
		fmt.Fprintln(&input, entry)
	}
	random := rand.New(rand.NewPCG(3, 4))
	type question struct {
		mean   uint64
		random uint32
	}
	var questions []question
	for _, mean := range []uint64{2, 1000, 512 << 10, MaxMean} {
		for _, edge := range []uint32{1, 2, 3, 1 << 16, 1<<31 - 1, 1 << 31, math.MaxUint32 - 1, math.MaxUint32} {
			questions = append(questions, question{mean, edge})
		}
		for range 100_000 {
			questions = append(questions, question{mean, random.Uint32()})
		}
	}
	for _, q := range questions {
		fmt.Fprintln(&input, q.mean, q.random)
	}
	run := exec.Command(path)
	run.Stdin = &input
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	worst := 0.0
	taken := map[uint64]int{} // of those of half the mean
	for _, q := range questions {
		var log, distance uint64
		if lines.Scan(); lines.Err() != nil {
			t.Fatal(lines.Err())
		}
		if _, err := fmt.Sscan(lines.Text(), &log, &distance); err != nil {
			t.Fatal(err)
		}
		want := -math.Log(float64(q.random) / (1 << 32))
		worst = max(worst, math.Abs(float64(log)/(1<<24)-want))
		if d := want * float64(q.mean); math.Abs(float64(distance)-d) > 1+4e-6*float64(q.mean) {
			t.Fatalf("of a mean of %d and %d: %d, want %.1f", q.mean, q.random, distance, d)
		}
		if q.mean/2 >= distance {
			taken[q.mean]++
		}
	}
	t.Logf("off by %.2g at most", worst)
	if worst > 3e-6 {
		t.Errorf("the logarithm is off by %g", worst)
	}
	for mean, n := range taken {
		p := 1 / Weight(mean/2, mean)
		if share := float64(n) / 100_008; math.Abs(share-p) > 4*math.Sqrt(p*(1-p)/100_008) {
			t.Errorf("of a mean of %d: %.4f were taken, want %.4f", mean, share, p)
		}
	}
}

func TestWeight(t *testing.T) {
	for _, test := range []struct {
		size, mean uint64
		want       float64
	}{{100, 1, 1}, {0, 1, 1}, {1, 1 << 20, 1<<20 + 0.5}, {0, 1 << 20, 1<<20 + 0.5}, {1 << 20, 1 << 20, 1 / (1 - math.Exp(-1))}, {1 << 40, 1 << 20, 1}} {
		if got := Weight(test.size, test.mean); math.Abs(got-test.want) > 1e-6*test.want {
			t.Errorf("of %d bytes with a mean of %d: %v, want %v", test.size, test.mean, got, test.want)
		}
	}
}
