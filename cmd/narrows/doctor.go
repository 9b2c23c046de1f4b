package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/narrows-profiler/narrows/collector/capability"
)

type doctorCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (doctorCommand) Help() string {
	return `Tries everything Narrows uses of this host and prints what works, what does not, and what to do
about it. It leaves nothing behind and changes no setting. The exit status is 1 when something is
missing without which nothing can be recorded.`
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

func (c *doctorCommand) Run(s streams) error {
	var all []diagnosis
	var missing []string
	for _, r := range capability.Check() {
		d := diagnosis{Name: r.Name, Works: r.Err == nil, Required: r.Required, For: r.For, Detail: r.Detail}
		if r.Err != nil {
			d.Error, d.Remedy = r.Err.Error(), r.Remedy
			if r.Required {
				missing = append(missing, r.Name)
			}
		}
		all = append(all, d)
	}
	if err := c.print(s, all); err != nil {
		return err
	}
	if len(missing) > 0 {
		return advisedError{
			errors.New("this host lacks what no recording can do without: " + strings.Join(missing, ", ")),
			"see the lines marked MISSING",
		}
	}
	return nil
}

func (c *doctorCommand) print(s streams, all []diagnosis) error {
	if c.JSON {
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(all)
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, d := range all {
		state := "ok"
		switch {
		case !d.Works && d.Required:
			state = "MISSING"
		case !d.Works:
			state = "absent"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", state, d.Name, d.For, d.Detail)
		if !d.Works {
			reason, _, _ := strings.Cut(d.Error, "\n")
			fmt.Fprintf(table, "\t  why\t%s\t\n\t  what to do\t%s\t\n", reason, d.Remedy)
		}
	}
	return table.Flush()
}
