package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector/capability"
)

type doctorCommand struct {
	Calibrate bool `help:"Also record programs whose truth is known, for some seconds, and print how far off that is."`
	JSON      bool `name:"json" help:"Print JSON."`
}

func (doctorCommand) Help() string {
	return `Tries everything Narrows uses of this host and prints what works, what does not, and what to do
about it. It leaves nothing behind and changes no setting. The exit status is 1 when something is
missing without which nothing can be recorded.

With --calibrate it also lets Narrows measure what is known already, and says how far off it was: a
program that counts by its own clock where its time goes, and a load whose server answers at once.

Examples:
  sudo narrows doctor
  sudo narrows doctor --calibrate
  sudo narrows doctor --json | jq '.[] | select(.works | not)'`
}

// diagnosis is one line of the answer, as --json prints it.
type diagnosis struct {
	Name     string `json:"name"`
	Works    bool   `json:"works"`
	Required bool   `json:"required"`
	For      string `json:"for"`
	Detail   string `json:"detail,omitempty"`
	Error    string `json:"error,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
}

func (c *doctorCommand) Run(ctx context.Context, s streams) error {
	var all []diagnosis
	var missing []string
	btf := true
	for _, r := range capability.Check() {
		if r.Name == "BTF" {
			btf = r.Err == nil
		}
		d := diagnosis{Name: r.Name, Works: r.Err == nil, Required: r.Required, For: r.For, Detail: r.Detail}
		if r.Err != nil {
			d.Error, d.Remedy = r.Err.Error(), remedy(r, btf)
			if r.Required {
				missing = append(missing, r.Name)
			}
		}
		all = append(all, d)
	}
	lacking := error(nil)
	if len(missing) > 0 {
		lacking = advisedError{
			errors.New("this host lacks what no recording can do without: " + strings.Join(missing, ", ")),
			"see the lines marked MISSING",
		}
	}
	if !c.Calibrate || lacking != nil {
		return errors.Join(c.print(s, all), lacking)
	}
	return c.calibrated(ctx, s, all)
}

// calibrated prints the diagnosis and what a calibration found.
func (c *doctorCommand) calibrated(ctx context.Context, s streams, all []diagnosis) error {
	if !c.JSON {
		if err := c.print(s, all); err != nil {
			return err
		}
	}
	progress := newProgress(s.err)
	progress.start("calibrating", 0)
	generator, generatorErr := calibrateGenerator(ctx) // on a heap that is still small
	checks, err := calibrate(ctx)
	progress.done()
	if err = errors.Join(err, generatorErr); err != nil {
		return err
	}
	checks = append(checks, generator)
	if c.JSON {
		return printJSON(s.out, struct {
			Host        []diagnosis     `json:"host"`
			Calibration []session.Check `json:"calibration"`
		}{all, checks})
	}
	fmt.Fprintln(s.out)
	return report.Calibration(s.out, checks)
}

func (c *doctorCommand) print(s streams, all []diagnosis) error {
	if c.JSON {
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	width := 0
	for _, d := range all {
		width = max(width, len(d.Name))
	}
	for _, d := range all {
		state := "ok"
		switch {
		case !d.Works && d.Required:
			state = "MISSING"
		case !d.Works:
			state = "absent"
		}
		line := fmt.Sprintf("%-7s  %-*s  %s", state, width, d.Name, d.For)
		if d.Works && d.Detail != "" {
			line += " (" + d.Detail + ")"
		}
		if _, err := fmt.Fprintln(s.out, line); err != nil {
			return err
		}
		if !d.Works {
			reason, _, _ := strings.Cut(d.Error, "\n")
			if _, err := fmt.Fprintf(s.out, "           why:        %s\n           what to do: %s\n", reason, d.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}

// remedy is what to do about a capability that is missing. What is refused to an
// ordinary user, and what is missing for want of BTF, needs no remedy of its own.
func remedy(r capability.Result, btf bool) string {
	switch {
	case os.Geteuid() != 0 && errors.Is(r.Err, fs.ErrPermission):
		return "run it with sudo"
	case !btf && errors.Is(r.Err, ebpf.ErrNotSupported):
		return "it needs BTF, see above"
	}
	return r.Remedy
}
