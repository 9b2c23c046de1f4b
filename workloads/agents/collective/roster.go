package collective

// Agent is one member of the collective.
type Agent struct {
	Codename string `json:"codename"`
	Role     string `json:"role"`
	// Domain is that of the passages that the agent prefers.
	Domain string `json:"domain"`
	// Focus are words that the agent brings into every search.
	Focus string `json:"focus"`
	// First and Steps choose the steps of a plan that the agent takes.
	First int `json:"-"`
	Steps int `json:"steps"`
}

// roster returns all agents. The first is asked where no other fits.
func roster() []Agent {
	return []Agent{
		{"APEX", "principal engineer", "design", "interface model change policy", 0, 8},
		{"KEYSTONE", "software architect", "design", "dependency context translate", 1, 8},
		{"COMPASS", "technical lead", "design", "idempotent repeated operation", 2, 8},
		{"SILO", "storage engineer", "storage", "disk flush commit log", 0, 8},
		{"LEDGER", "database engineer", "storage", "transaction write record", 3, 8},
		{"STRATUM", "file system engineer", "storage", "block checksum replica", 5, 7},
		{"CONDUIT", "network engineer", "network", "connection handshake proxy", 1, 8},
		{"SLUICE", "traffic engineer", "network", "queue sender receiver pressure", 4, 8},
		{"SEMAPHOR", "protocol designer", "network", "message length version parser", 6, 7},
		{"HEARTH", "memory engineer", "memory", "allocation buffer collector", 2, 8},
		{"QUARTZ", "data layout engineer", "memory", "cache line pointer array", 0, 7},
		{"ATTIC", "cache engineer", "memory", "cache limit hits policy", 3, 8},
		{"WEAVER", "concurrency engineer", "concurrency", "lock thread shard wait", 1, 8},
		{"CONVOY", "scheduling engineer", "concurrency", "worker queue task bound", 5, 8},
		{"METRONOME", "real-time engineer", "concurrency", "deadline cancel step", 7, 7},
		{"LATHE", "performance engineer", "compute", "loop instruction bandwidth", 2, 9},
		{"TURBINE", "numerical engineer", "compute", "matrix tile product", 0, 8},
		{"ABACUS", "algorithm engineer", "compute", "sort hash index slope", 4, 8},
		{"BASTION", "security engineer", "security", "privilege process right", 6, 8},
		{"LOCKSMITH", "cryptography engineer", "security", "key rotation secret compare", 3, 8},
		{"GATEKEEPER", "border engineer", "security", "input limit refuse hostile", 1, 7},
		{"ASSAYER", "test engineer", "testing", "property example invariant", 5, 8},
		{"CRUCIBLE", "reliability engineer", "testing", "fault crash injection kill", 2, 9},
		{"TREADMILL", "load test engineer", "testing", "load rate percentile schedule", 0, 8},
		{"SIEVE", "data engineer", "data", "schema record field migrate", 7, 8},
		{"ALMANAC", "analytics engineer", "data", "column query scan filter", 4, 8},
		{"LOOM", "stream engineer", "data", "event window late state", 6, 7},
		{"COURIER", "release engineer", "delivery", "release canary version traffic", 1, 8},
		{"GANTRY", "build engineer", "delivery", "build dependency digest bytes", 3, 8},
		{"HELMSMAN", "operations engineer", "delivery", "rollback flag switch undo", 5, 8},
		{"BEACON", "observability engineer", "observability", "trace request span path", 2, 8},
		{"LENS", "profiling engineer", "observability", "profile sample stack core", 0, 9},
		{"SEISMO", "monitoring engineer", "observability", "latency histogram quantile tail", 4, 8},
		{"TUTOR", "machine learning engineer", "learning", "training feature statistics model", 6, 8},
		{"SEXTANT", "inference engineer", "learning", "weight quantise precision layer", 7, 8},
		{"LIBRARIAN", "retrieval engineer", "learning", "search passage source rank", 1, 8},
	}
}
