// Package report turns a recorded session into what a person reads: the summary
// that a command ends with ([Terminal]) and CONSOLIDATED_PROFILING_REPORT.md
// ([Markdown]).
//
// [Judge] ranks a session and adds bottleneck_report.json, profiles/<service>.json
// and the Markdown report to its folder. [Load] reads a session that has them.
// Both renderings show only what is in the session's files: what was not
// measured is printed as unknown with its reason.
//
// Names of functions, files and services come from the processes that were
// profiled. They are printed so that they can neither move a terminal's cursor
// nor add Markdown or HTML of their own.
package report
