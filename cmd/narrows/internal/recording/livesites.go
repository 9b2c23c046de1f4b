package recording

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

// liveSites judges the places whose memory lives at the end, whose functions are named.
func liveSites(live *collector.LiveSites, mean int64) *memory.Document {
	var sites []memory.Site
	for _, sample := range live.Profile.Sample {
		numbers := sample.NumLabel["site"]
		if len(numbers) != 1 || numbers[0] < 1 || numbers[0] > int64(len(live.Sites)) {
			continue
		}
		sites = append(sites, liveSite(&live.Sites[numbers[0]-1], memory.FunctionsOf(sample)))
	}
	return memory.Judge(mean, sites)
}

func liveSite(of *collector.LiveSite, functions []string) memory.Site {
	s := memory.Site{
		PID: of.PID, Process: of.Process, Service: of.Service, Functions: functions, Source: memory.SourceMalloc,
		MeanBytes: max(of.Mean, 1), Began: of.Began, Ended: of.Ended, Gone: of.Gone,
	}
	if of.Go {
		s.Source = memory.SourceGo
	}
	if of.Cut != nil {
		s.Cut = of.Cut.Error()
	}
	for _, b := range of.Blocks {
		s.Blocks = append(s.Blocks, memory.Block{Objects: b.Objects, Size: b.Size, Born: b.Born})
	}
	for _, p := range of.Past {
		s.History = append(s.History, memory.Point{Time: p.Time, Objects: p.Objects, Bytes: p.Bytes})
	}
	return s
}

// nameLive names the functions of places whose memory lives.
func (r *Recording) nameLive(ctx context.Context, w collector.Window) error {
	if w.Live == nil {
		return nil
	}
	if _, err := r.symbolizer.Symbolize(ctx, w.Live.Profile); err != nil {
		return fmt.Errorf("naming what lives at the end: %w", err)
	}
	return nil
}

// writeMemory writes what lives at the end, if allocations were recorded.
func (s *SessionSink) writeMemory(recorded *session.Memory) error {
	if recorded == nil {
		return nil
	}
	d := memory.Judge(max(recorded.MeanBytes, 1), nil)
	if s.live != nil {
		d = liveSites(s.live, d.MeanBytes)
	}
	data, err := d.Encode()
	if err != nil {
		return err
	}
	return s.write(memory.FileName, data)
}

// DescribeLeaks says in a few lines which places leak, and else that none does.
func DescribeLeaks(d *memory.Document) string {
	leaks := d.Leaks()
	if len(leaks) == 0 {
		return "leak        none: of no place does memory become more as steadily at the end as before, and live on\n"
	}
	var b strings.Builder
	const shown, functions = 3, 4
	for i, l := range leaks {
		if i == shown {
			fmt.Fprintf(&b, "leak        %d more are in %s\n", len(leaks)-shown, memory.FileName)
			break
		}
		fmt.Fprintf(&b, "leak        %s in %d blocks by %s, process %d (%s)\n", memory.Text(l.Live), l.Live.Objects,
			strings.Join(l.Functions[:min(len(l.Functions), functions)], ", called by "), l.PID, cmp.Or(l.Process, "?"))
		age := "how old its blocks are is not known"
		if l.Age != nil {
			age = fmt.Sprintf("the oldest block lives for %.3g s, half of the bytes for %.3g s", l.Age.OldestSeconds, l.Age.MedianSeconds)
		}
		if l.Cut != "" {
			age += "; that was when it lost its probes"
		}
		g := session.MemoryEstimate{Bytes: l.Growth.Bytes, LowBytes: l.Growth.LowBytes, HighBytes: l.Growth.HighBytes}
		fmt.Fprintf(&b, "            %s more in the last %.3g of %.3g s; %s; %d recorded\n", memory.Text(g), l.Growth.Seconds, l.FollowedSeconds, age, l.Live.Samples)
	}
	return b.String()
}
