package waits

import (
	_ "embed"
	"testing"
)

//go:embed testdata/kinds.txt
var kindStacks string

// TestKindByStack tells what each waiting stack of the fixtures waits for.
func TestKindByStack(t *testing.T) {
	fixtures(t, kindStacks, func(want, stack string) {
		got := "-"
		if kind, ok := kindOf(lexicon{}.stack(contention().add(stack, "", 1, 1).p.Sample[0])); ok {
			got = kind.implementation + " " + kind.kind
		}
		if got != want {
			t.Errorf("%q, want %q of %s", got, want, stack)
		}
	})
}

// The place of a wait is the program's own function, whatever library it waits by.
func TestPlaceOfAWait(t *testing.T) {
	for stack, want := range map[string]string{
		"k:futex_do_wait __lll_lock_wait ___pthread_mutex_lock cache_evict client start_thread":                   "cache_evict",
		"k:futex_do_wait ___pthread_mutex_lock std::mutex::lock() Cache::evict() main":                            "Cache::evict()",
		"k:futex_do_wait runtime.futex runtime.semacquire1 sync.(*Mutex).lockSlow example.org/vault.(*Vault).put": "example.org/vault.(*Vault).put",
		"k:kthread_work k:kthread k:ret_from_fork":                                                                "ret_from_fork",
		"": "[unknown]",
		"k:io_schedule __GI_fsync flush_log main": "flush_log",
		"k:futex_do_wait start_thread clone3":     "start_thread",
	} {
		if got := site(lexicon{}.stack(contention().add(stack, "", 1, 1).p.Sample[0])); got != want {
			t.Errorf("%q, want %q of %s", got, want, stack)
		}
	}
	for stack, want := range map[string]string{
		"k:io_schedule __internal_syscall_cancel __GI_fsync flush_log main":                     "fsync",
		"k:io_schedule internal/runtime/syscall.Syscall6 syscall.Syscall syscall.Fsync os.sync": "syscall.Fsync",
		"k:do_nanosleep __clock_nanosleep usleep client":                                        "clock_nanosleep",
		"k:sk_wait_data __libc_recv fetch":                                                      "recv",
	} {
		if got := NewTally().did(contention().add(stack, "state=io", 1, 1).p.Sample[0]).function; got != want {
			t.Errorf("%q, want %q of %s", got, want, stack)
		}
	}
}

func TestWordsOfErrands(t *testing.T) {
	for name, want := range map[string]bool{
		"queue_push": true, "tryEnqueue": true, "Pool::Acquire(int)": true, "put": true, "pool.(*Pool).Put": true,
		"input_worker": false, "compute": false, "Output::run": false, "worker_loop": false, "dispatcher": false,
	} {
		if isErrand(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for p, names := range map[pattern][2]string{
		"a": {"a", "ab"}, "a*": {"ab", "ba"}, "*a": {"ba", "ab"}, "*a*": {"bab", "b"}, "a*b*c": {"axbxc", "axcxb"}, "absl::*Mutex::*": {"absl::lts::Mutex::Lock", "absl::Mutex"},
	} {
		if !p.matches(names[0]) || p.matches(names[1]) {
			t.Errorf("%s", p)
		}
	}
}
