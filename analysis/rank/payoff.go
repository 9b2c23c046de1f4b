package rank

import "fmt"

// payoff is Amdahl's bound for a place that has the share f of what of names.
func payoff(f float64, of string) Payoff {
	f = min(max(f, 0), 1)
	p := Payoff{SavingAtMost: f, Of: of}
	if f == 1 {
		p.Statement = fmt.Sprintf("making it free saves at most all of the %s", of)
		return p
	}
	speedup := 1 / (1 - f)
	p.SpeedupAtMost = &speedup
	p.Statement = fmt.Sprintf("making it free saves at most %.1f %% of the %s, a speed-up of at most %.2f times", 100*f, of, speedup)
	return p
}
