// Package guest is the half of the kernel tests that runs inside the test machine: its first process, and the runner of the test binaries.
//
// A [Plan] enters as JSON at [PlanPath] in the initramfs; [Event]s leave as JSON lines on the second serial line, [Port], so that neither the kernel's messages (on the
// first) nor anything a test prints can be taken for them. [Boot] is the whole life of the machine: it mounts what tests expect of a host, starts itself again as the runner
// ([Run]), collects orphans as process 1 must, and switches the power off. Package kerneltest holds the other half.
package guest
