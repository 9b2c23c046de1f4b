package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents"
	agentsserver "github.com/narrows-profiler/narrows/workloads/agents/server"
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/ryot"
	ryotserver "github.com/narrows-profiler/narrows/workloads/ryot/server"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
	sigmalangserver "github.com/narrows-profiler/narrows/workloads/sigmalang/server"
	"github.com/narrows-profiler/narrows/workloads/sigmavault"
	sigmavaultserver "github.com/narrows-profiler/narrows/workloads/sigmavault/server"
)

// driven is what there is to know of a service before it runs.
type driven struct {
	// interfaces are the ways in which it can be reached.
	interfaces []service.Interface
	// faults can be planted into its reference service.
	faults []plant.Fault
}

// services are those that the benchmarks drive.
func services() map[string]driven {
	return map[string]driven{
		ryot.Service:       {[]service.Interface{service.HTTP}, ryotserver.Faults()},
		sigmavault.Service: {[]service.Interface{service.HTTP, service.Directory}, sigmavaultserver.Faults()},
		agents.Service:     {[]service.Interface{service.HTTP}, agentsserver.Faults()},
		sigmalang.Service:  {[]service.Interface{service.HTTP, service.Stdio}, sigmalangserver.Faults()},
	}
}

// Services returns the names of all services.
func Services() []string { return slices.Sorted(maps.Keys(services())) }

// Faults returns the bottlenecks that a service's reference can be started with.
func Faults(name string) []plant.Fault { return services()[name].faults }

// ParseTarget reads what a user gives for a service in place of the reference one.
func ParseTarget(name, text string) (service.Target, error) {
	s, err := lookup(name)
	if err != nil {
		return service.Target{}, err
	}
	return service.ParseTarget(name, text, s.interfaces)
}

// ParsePlant reads the fault that a user wants in a service.
func ParsePlant(name, text string) (plant.Choice, error) {
	s, err := lookup(name)
	if err != nil {
		return plant.Choice{}, err
	}
	return plant.Parse(text, s.faults)
}

func lookup(name string) (driven, error) {
	s, known := services()[name]
	if !known {
		return driven{}, fmt.Errorf("there is no service %q; there are: %s", name, strings.Join(Services(), ", "))
	}
	return s, nil
}
