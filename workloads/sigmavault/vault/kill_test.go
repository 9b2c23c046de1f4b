package vault

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// writerVariable makes this test binary a process that writes to a vault until it is
// killed.
const writerVariable = "NARROWS_TEST_VAULT"

// versionBytes is the size of a version of a slot: several chunks now and then.
func versionBytes(version int) int { return version * 7919 % (3 * ChunkBytes) }

func slotUnit(slot, version int) *Unit {
	return unit(fmt.Sprintf("slot-%d", slot), uint64(slot)<<32|uint64(version), versionBytes(version))
}

// writeForever has writers that each store ever new versions of a unit and say so
// once one is acknowledged. The versions begin behind the last one there.
func writeForever(folder string) {
	v, err := Open(Config{Folder: folder})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var writers sync.WaitGroup
	for slot := range 6 {
		writers.Go(func() {
			version := 0
			if r, err := v.Record(fmt.Sprintf("slot-%d", slot)); err == nil {
				version = r.OriginalTokenCount
			} else if !errors.Is(err, ErrNotFound) {
				fmt.Println("error", err)
				return
			}
			for {
				version++
				u := slotUnit(slot, version)
				u.OriginalTokenCount = version
				if _, err := v.Put(context.Background(), u); err != nil {
					fmt.Println("error", err)
					return
				}
				// One write call a line: a killed process leaves whole lines.
				fmt.Printf("stored %d %d\n", slot, version)
			}
		})
	}
	writers.Wait()
}

// Whatever the moment at which a writer is killed, all that it was told to be stored
// is there, whole, and what was not is there whole or not at all.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	acknowledged := map[int]int{}
	total := 0
	for round := range 12 {
		writer := exec.Command(self)
		writer.Env = append(os.Environ(), writerVariable+"="+folder)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		first := true
		var killing *time.Timer
		for lines.Scan() {
			var slot, version int
			if _, err := fmt.Sscanf(lines.Text(), "stored %d %d", &slot, &version); err != nil {
				t.Errorf("the writer said %q", lines.Text())
				continue
			}
			acknowledged[slot] = max(acknowledged[slot], version)
			total++
			if first {
				first = false
				killing = time.AfterFunc(time.Duration(random.IntN(60_000))*time.Microsecond, func() { _ = writer.Process.Kill() })
			}
		}
		if err := writer.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the writer was not killed: %v", round, err)
		}
		if killing != nil {
			killing.Stop()
		}
		verifySlots(t, folder, acknowledged)
	}
	if total < 100 {
		t.Errorf("only %d writes were acknowledged: the test shows little", total)
	}
	t.Logf("%d acknowledged writes, last versions %v", total, acknowledged)
}

// verifySlots opens a vault that was not closed.
func verifySlots(t *testing.T, folder string, acknowledged map[int]int) {
	t.Helper()
	v := open(t, Config{Folder: folder})
	defer closed(t, v)
	units, err := v.List("", 100)
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]int{}
	for _, r := range units {
		var slot int
		if _, err := fmt.Sscanf(r.ID, "slot-%d", &slot); err != nil {
			t.Fatalf("a unit %s that nobody stored", r.ID)
		}
		there[slot] = r.OriginalTokenCount
		_, parts, err := v.Get(r.ID)
		if err != nil || !bytes.Equal(bytes.Join(parts, nil), slotUnit(slot, r.OriginalTokenCount).Content) {
			t.Fatalf("%s version %d is not whole: %v", r.ID, r.OriginalTokenCount, err)
		}
	}
	for slot, version := range acknowledged {
		// The one after it may have been stored without its writer living to say so.
		if got := there[slot]; got != version && got != version+1 {
			t.Fatalf("slot %d: version %d was acknowledged, %d is there", slot, version, got)
		}
		acknowledged[slot] = there[slot]
	}
}
