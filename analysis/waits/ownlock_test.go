package waits

import "testing"

func TestPlacesOfOwnLocks(t *testing.T) {
	const semaphore = "k:futex_do_wait __futex_abstimed_wait_common __new_sem_wait_slow64 PGSemaphoreLock "
	const latch = "k:ep_poll epoll_wait [postgres+0x45] WaitEventSetWait WaitLatch "
	for stack, want := range map[string]string{
		semaphore + "LWLockAcquireOrWait XLogFlush [postgres+0x1] CommitTransactionCommand PostgresMain main _start": "LWLockAcquireOrWait in XLogFlush: LWLock",
		semaphore + "LWLockAcquire [postgres+0x1] [postgres+0x2] XLogBackgroundFlush WalWriterMain":                  "LWLockAcquire in XLogBackgroundFlush: LWLock",
		semaphore + "LWLockAcquire [postgres+0x1] [postgres+0x2] [postgres+0x3] PostgresMain":                        "LWLockAcquire: LWLock",
		semaphore + "LWLockAcquire ProcSleep [postgres+0x3] LockAcquireExtended XactLockTableWait":                   "LWLockAcquire in ProcSleep: LWLock",
		semaphore + "ProcArrayEndTransaction CommitTransactionCommand":                                               "ProcArrayEndTransaction: group update",
		latch + "ProcSleep [postgres+0x3] LockAcquireExtended XactLockTableWait heap_update":                         "XactLockTableWait: transaction lock",
		latch + "ProcSleep WaitOnLock LockAcquireExtended LockAcquire LockTuple heap_acquire_tuplock heap_update":    "heap_acquire_tuplock: tuple lock",
		latch + "ProcSleep WaitOnLock LockAcquireExtended LockRelationForExtension RelationGetBufferForTuple":        "LockRelationForExtension: lock",
		latch + "ConditionVariableTimedSleep ConditionVariableSleep BarrierArriveAndWait":                            "ConditionVariableSleep in BarrierArriveAndWait: condition variable",
		latch + "secure_read pq_recvbuf PostgresMain":                                                                "",
		"k:futex_do_wait sem_wait ngx_shmtx_lock main":                                                               "",
		"k:ep_poll epoll_wait [server+0x1] [server+0x2] [server+0x3] ProcSleep":                                      "",
		"": "",
	} {
		got := ""
		if at, ok := placeOf(lexicon{}.stack(contention().add(stack, "", 1, 1).p.Sample[0])); ok {
			got = at.name + ": " + at.kind
			if at.implementation != "PostgreSQL" {
				t.Errorf("%s is a lock of %s", at.name, at.implementation)
			}
		}
		if got != want {
			t.Errorf("%q, want %q of %s", got, want, stack)
		}
	}
}

// Who has to do with a lock, or with the disk, is the first that neither is part of them nor
// without a name.
func TestCallers(t *testing.T) {
	for stack, want := range map[string]string{
		"k:io_schedule __GI_fdatasync [postgres+0x1] [postgres+0x2] XLogFlush main":                                                                   "XLogFlush",
		"k:futex_wake __new_sem_post PGSemaphoreUnlock LWLockRelease XLogFlush main":                                                                  "XLogFlush",
		"LWLockRelease LockAcquireExtended XactLockTableWait":                                                                                         "LockAcquireExtended",
		"k:futex_do_wait PGSemaphoreLock LWLockAcquire ProcSleep LockAcquireExtended":                                                                 "ProcSleep",
		"k:ep_poll epoll_wait WaitLatch ProcSleep LockAcquireExtended XactLockTableWait heap_update":                                                  "heap_update",
		"k:do_send_sig_info __GI_kill SetLatch ProcLockWakeup [postgres+0x1] LockReleaseAll ProcReleaseLocks [postgres+0x2] CommitTransactionCommand": "CommitTransactionCommand",
		"k:do_syscall_64 [postgres+0x1]": "",
	} {
		if got := caller(lexicon{}.stack(contention().add(stack, "", 1, 1).p.Sample[0])); got != want {
			t.Errorf("%q, want %q of %s", got, want, stack)
		}
	}
}
