package unwind

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/bpf"
	rules "github.com/narrows-profiler/narrows/symbolizer/binary/unwind"
)

// cWalker is the kernel's walker, compiled as a program.
type cWalker struct {
	path string
}

// compileWalker compiles the walker for stacks of a machine, or skips.
func compileWalker(t *testing.T, arch rules.Arch) cWalker {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: ", err)
	}
	name := map[rules.Arch]string{rules.X86_64: "x86", rules.ARM64: "arm64"}[arch]
	path := filepath.Join(t.TempDir(), "walker_"+name)
	args := []string{"-O1", "-Wall", "-Werror", "-D__TARGET_ARCH_" + name, "-I../../bpf", "-o", path, "testdata/walker.c"}
	if out, err := exec.Command(gcc, append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover"}, args...)...).CombinedOutput(); err != nil {
		t.Logf("without sanitizers: %v\n%s", err, out)
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v\n%s", err, out)
		}
	}
	return cWalker{path}
}

// A stackCase is a stack to walk and what is mapped around it.
type stackCase struct {
	arch      rules.Arch
	registers rules.Registers
	entry     bool
	stack     []rules.Snapshot
	code      []codeRange
}

// codeRange is a mapping of code; without a table, frame pointers are followed there.
type codeRange struct {
	start, end, bias uint64
	table            *rules.Table
}

func (c *stackCase) find(pc uint64) (*rules.Table, uint64, rules.End) {
	for _, r := range c.code {
		if pc >= r.start && pc < r.end {
			return r.table, r.bias, rules.EndComplete
		}
	}
	return nil, 0, rules.EndNoMapping
}

// inGo walks the stack with the walker that reads copies of stacks.
func (c *stackCase) inGo() ([]uint64, rules.End) {
	walker := rules.Walker{Arch: c.arch, Find: c.find}
	return walker.Walk(nil, c.registers, c.stack...)
}

// encode writes the case as testdata/walker.c reads it, with tables where the loader
// would put them.
func (c *stackCase) encode() []byte {
	tables := &Tables{
		rows:  shared[uint64]{elements: make([]uint64, 1<<14)},
		files: shared[bpf.CoreUnwindFile]{elements: make([]bpf.CoreUnwindFile, firstFile+len(c.code))},
	}
	tables.space = newSpace(3, len(tables.rows.elements))
	var mappings []bpf.CoreUnwindMapping
	for i, r := range c.code {
		m := bpf.CoreUnwindMapping{Start: r.start, End: r.end, Bias: r.bias}
		if r.table != nil {
			m.File = uint32(firstFile + i)
			shift, first := index(r.table.Rows)
			at, ok := tables.space.take(slots(r.table, first))
			if !ok {
				panic("the case has too many rows")
			}
			tables.publish(&table{number: firstFile + i}, r.table, at, shift, first)
		}
		mappings = append(mappings, m)
	}
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
				panic(err)
			}
		}
	}
	flag := map[bool]uint64{true: 1}
	r := c.registers
	var others [32]uint64
	copy(others[:], r.Others)
	put(flag[c.entry], r.PC, r.SP, r.FP, r.LR, flag[r.Caller], flag[r.Others != nil], others)
	used := len(tables.rows.elements) - tables.space.left()
	put(uint64(used), tables.rows.elements[:used])
	put(uint64(len(tables.files.elements)))
	for _, f := range tables.files.elements {
		put(f.Base, f.Index, f.Rows, f.Wide, f.Stretches, f.State, f.Used, f.WideCount, f.Shift, f.Unused, f.Padding)
	}
	put(uint64(len(mappings)))
	for _, m := range mappings {
		put(m.Start, m.End, m.Bias, m.File, m.Padding)
	}
	put(uint64(len(c.stack)))
	for _, s := range c.stack {
		put(s.Address, uint64(len(s.Bytes)), s.Bytes)
	}
	return b.Bytes()
}

type walked struct {
	frames []uint64
	end    rules.End
}

// walk has the C walker walk all cases.
func (w cWalker) walk(t *testing.T, cases []*stackCase) []walked {
	t.Helper()
	var input, output, complaints bytes.Buffer
	for _, c := range cases {
		input.Write(c.encode())
	}
	cmd := exec.Command(w.path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &input, &output, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("the C walker: %v\n%s", err, &complaints)
	}
	var all []walked
	lines := bufio.NewScanner(&output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		end, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		one := walked{end: rules.End(end)}
		for _, f := range fields[1:] {
			pc, err := strconv.ParseUint(f, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			one.frames = append(one.frames, pc)
		}
		all = append(all, one)
	}
	if len(all) != len(cases) {
		t.Fatalf("the C walker answered %d of %d cases", len(all), len(cases))
	}
	return all
}

// sameWalk compares walks. A copy of a stack may end where the kernel reads on, and
// differs in what its reason is called.
func sameWalk(c walked, frames []uint64, end rules.End) bool {
	if end == rules.EndShortSnapshot || end == rules.EndUnreadable {
		return len(c.frames) >= len(frames) && slices.Equal(c.frames[:len(frames)], frames)
	}
	return c.end == end && slices.Equal(c.frames, frames)
}

// Stacks and rules by chance: whatever they are, both walkers find the same frames
// and end for the same reason.
func TestWalkersAgree(t *testing.T) {
	for _, arch := range []rules.Arch{rules.X86_64, rules.ARM64} {
		t.Run(fmt.Sprint(arch), func(t *testing.T) {
			walker := compileWalker(t, arch)
			random := rand.New(rand.NewPCG(uint64(arch), 7))
			cases := make([]*stackCase, 2000)
			for i := range cases {
				cases[i] = randomCase(random, arch)
			}
			depths, ends := map[int]int{}, map[rules.End]int{}
			for i, got := range walker.walk(t, cases) {
				frames, end := cases[i].inGo()
				depths[min(len(frames), 10)]++
				ends[end]++
				if !sameWalk(got, frames, end) {
					t.Fatalf("case %d: C %#x: %v\nGo %#x: %v", i, got.frames, got.end, frames, end)
				}
			}
			t.Logf("depths %v, ends %v", depths, ends)
			if depths[10] < 50 || ends[rules.EndComplete] < 100 {
				t.Error("the cases show little: few stacks are deep, or few complete")
			}
		})
	}
}

// randomCase is a stack full of addresses, some of code and some of itself, and two
// pieces of code whose rules mostly make sense.
func randomCase(random *rand.Rand, arch rules.Arch) *stackCase {
	const stackAt, stackSize = 0x7fff_0000_0000, 16 << 10
	c := &stackCase{arch: arch}
	for i, bias := range []uint64{0, 0x5555_0000_0000} {
		start := bias + 0x10_0000*uint64(i+1)
		c.code = append(c.code, codeRange{start, start + 0x8000, bias, randomTable(random, arch, start-bias)})
	}
	c.code = append(c.code, codeRange{start: 0x6666_0000_0000, end: 0x6666_0001_0000})
	slices.SortFunc(c.code, func(a, b codeRange) int { return int(int64(a.start) - int64(b.start)) })
	address := func() uint64 {
		r := c.code[random.IntN(2)] // sorted: those with tables
		if random.IntN(16) == 0 {
			r = c.code[2]
		}
		return r.start + 1 + random.Uint64N(r.end-r.start-1)
	}
	bytes := make([]byte, stackSize)
	for at := 0; at < len(bytes); at += 8 {
		value := address()
		switch random.IntN(32) {
		case 0, 1, 2:
			value = stackAt + uint64(min(at+8*random.IntN(64), stackSize-8))
		case 3:
			value = random.Uint64() >> random.IntN(64)
		}
		binary.NativeEndian.PutUint64(bytes[at:], value)
	}
	c.stack = []rules.Snapshot{{Address: stackAt, Bytes: bytes}}
	sp := stackAt + uint64(random.IntN(stackSize/4))&^7
	c.registers = rules.Registers{PC: address(), SP: sp, FP: sp + uint64(random.IntN(1024))&^7, LR: address(), Others: make([]uint64, 16)}
	if arch == rules.ARM64 {
		c.registers.Others = make([]uint64, 32)
	}
	for i := range c.registers.Others {
		c.registers.Others[i] = sp + uint64(random.IntN(512))&^7
	}
	if random.IntN(4) == 0 {
		c.registers.Caller, c.registers.Others = true, nil
	}
	return c
}

func randomTable(random *rand.Rand, arch rules.Arch, base uint64) *rules.Table {
	table := &rules.Table{Base: base}
	pc := uint32(0)
	for pc < 0x7f00 {
		row := rules.Row{PC: pc, CFA: int16(1 + random.IntN(20))}
		switch random.IntN(40) {
		case 0:
			row = rules.Row{PC: pc, Kind: rules.KindNone}
		case 1, 2:
			row = rules.Row{PC: pc, Kind: rules.KindEnd}
		case 3:
			row.Kind = rules.KindFP
			row.FP = -2
		case 4:
			row.Kind, row.CFA, row.FP = rules.KindFPDeref, int16(random.IntN(3)-1), int8(random.IntN(3)-1)
		case 5:
			row.Kind, row.FP = rules.KindPLT, int8(random.IntN(16))
		case 6:
			row.Kind, row.CFA, row.FP = rules.KindSignal, 0, 0
		case 7, 8:
			row.Kind, row.CFA, row.FP = rules.KindWide, int16(len(table.Wide)), 0
			table.Wide = append(table.Wide, rules.Wide{
				CFA: int32(8 * random.IntN(16)), FP: int32(-8 * random.IntN(4)), RA: -8,
				CFARegister: []uint8{6, 7, 7, 10, 29, 31}[random.IntN(6)], Flags: rules.WideFlags(1<<random.IntN(6)) & rules.WideFlags(random.IntN(64)),
				After: int16(8 * random.IntN(2)),
			})
		default:
			row.Kind = rules.KindSP
			row.FP = []int8{0, 0, -2, -3}[random.IntN(4)]
		}
		if arch == rules.ARM64 && random.IntN(20) == 0 && (row.Kind == rules.KindSP || row.Kind == rules.KindFP) {
			row.Kind |= rules.InLinkRegister
		}
		table.Rows = append(table.Rows, row)
		pc += uint32(1 + random.IntN(200))
	}
	table.Rows = append(table.Rows, rules.Row{PC: pc, Kind: rules.KindNone})
	return table
}

// At a function's entry the caller is at the stack's top, whatever rules say.
func TestWalkFromEntry(t *testing.T) {
	walker := compileWalker(t, rules.X86_64)
	root := &rules.Table{Rows: []rules.Row{{Kind: rules.KindEnd}, {PC: 0x1000, Kind: rules.KindNone}}}
	wrong := &rules.Table{Rows: []rules.Row{{Kind: rules.KindSP, CFA: 5}, {PC: 0x1000, Kind: rules.KindNone}}}
	stack := make([]byte, 64)
	binary.NativeEndian.PutUint64(stack, 0x2001)
	c := &stackCase{
		entry: true, registers: rules.Registers{PC: 0x1000, SP: 0x7000}, stack: []rules.Snapshot{{Address: 0x7000, Bytes: stack}},
		code: []codeRange{{0x1000, 0x2000, 0x1000, wrong}, {0x2000, 0x3000, 0x2000, root}},
	}
	got := walker.walk(t, []*stackCase{c})[0]
	if !slices.Equal(got.frames, []uint64{0x1000, 0x2001}) || got.end != rules.EndComplete {
		t.Errorf("frames %#x: %v", got.frames, got.end)
	}
}
