package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Where things lie in the test machine.
const (
	PlanPath = "/kerneltest/plan.json"
	Port     = "/dev/ttyS1"
)

// Plan is what the machine has to do.
type Plan struct {
	Env      []string `json:"env"` // NAME=VALUE, for each binary
	Binaries []Binary `json:"binaries"`
}

// Binary is one package's compiled tests.
type Binary struct {
	Package string        `json:"package"` // import path
	Path    string        `json:"path"`
	Dir     string        `json:"dir"` // where it runs
	Args    []string      `json:"args"`
	Limit   time.Duration `json:"limit_ns"` // after which it and its children are killed
}

// ReadPlan reads a plan from the file name.
func ReadPlan(name string) (Plan, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	var plan Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return Plan{}, fmt.Errorf("reading the plan %s: %w", name, err)
	}
	return plan, nil
}
