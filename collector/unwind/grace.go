package unwind

import (
	"time"

	"golang.org/x/sys/unix"
)

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL: it returns after an RCU grace period
// (membarrier(2), kernel/sched/membarrier.c).
const membarrierGlobal = 1

// awaitWalks returns when no walk runs any more that began before the call: eBPF
// programs run in RCU read-side sections. Where the kernel does not offer to wait
// for those (CONFIG_NO_HZ_FULL), a second is many times what a walk can take.
func awaitWalks() {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		time.Sleep(time.Second)
	}
}
