package conformance

import "slices"

// maxTrials bounds what shrinking costs.
const maxTrials = 400

// Shrink takes steps out of a scenario that fails, and commands out of its steps, as long as it still fails.
func Shrink(s *Scenario, fails func(*Scenario) bool) *Scenario {
	trials := 0
	try := func(steps []Step, given int) bool {
		if trials++; trials > maxTrials {
			return false
		}
		smaller := *s
		smaller.Steps, smaller.Given = steps, given
		if !fails(&smaller) {
			return false
		}
		s = &smaller
		return true
	}
	for size := (len(s.Steps) + 1) / 2; size > 0; {
		removed := false
		for at := 0; at < len(s.Steps); {
			end := min(at+size, len(s.Steps))
			steps := slices.Delete(slices.Clone(s.Steps), at, end)
			if try(steps, s.Given-max(0, min(end, s.Given)-at)) {
				removed = true
			} else {
				at += size
			}
		}
		if size == 1 && !removed {
			break
		}
		size = max(size/2, 1)
		if trials > maxTrials {
			break
		}
	}
	for i := 0; i < len(s.Steps); i++ {
		for k := 0; k < len(s.Steps[i].Commands) && len(s.Steps[i].Commands) > 1; {
			steps := slices.Clone(s.Steps)
			steps[i].Commands = slices.Delete(slices.Clone(steps[i].Commands), k, k+1)
			steps[i].Line = steps[i].text()
			if !try(steps, s.Given) {
				k++
			}
		}
	}
	return s
}
