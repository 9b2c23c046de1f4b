package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/ryot"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
)

// interfaces are the ways in which each service can be driven.
var interfaces = map[string][]service.Interface{
	ryot.Service:      {service.HTTP},
	sigmalang.Service: {service.HTTP, service.Stdio},
}

// ParseTarget reads what a user gives for a service in place of the reference one.
func ParseTarget(name, text string) (service.Target, error) {
	accepted, known := interfaces[name]
	if !known {
		names := slices.Sorted(maps.Keys(interfaces))
		return service.Target{}, fmt.Errorf("there is no service %q; there are: %s", name, strings.Join(names, ", "))
	}
	return service.ParseTarget(name, text, accepted)
}
