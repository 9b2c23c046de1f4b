// Package calibration lets Narrows measure what is known already, on the host that it
// is about to measure, so that its own error stands beside its results.
//
// [Split] is a program of known truth: it spends its time in three functions and
// counts by its own clock how much in each. [CPU] starts it as a process of its own,
// records it as everything is recorded, and compares. What leaves are
// [session.Check]s, for a session and for the terminal.
package calibration
