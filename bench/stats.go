package main

import "slices"

// figure is a set of measurements of one thing, one per round. The median is what is reported and judged;
// the extremes stand beside it, so that a reader sees how much the machine itself wavered.
type figure struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"`
}

// newFigure keeps values in the order given (the order of rounds). Of none it is the zero figure.
func newFigure(values []float64) figure {
	if len(values) == 0 {
		return figure{}
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	f := figure{Min: sorted[0], Max: sorted[len(sorted)-1], Rounds: values}
	half := len(sorted) / 2
	f.Median = sorted[half]
	if len(sorted)%2 == 0 {
		f.Median = (sorted[half-1] + sorted[half]) / 2
	}
	return f
}

// known reports whether anything was measured.
func (f figure) known() bool { return len(f.Rounds) > 0 }

// spread is the distance of the extremes in percent of the median.
func (f figure) spread() float64 {
	if f.Median == 0 {
		return 0
	}
	return 100 * (f.Max - f.Min) / f.Median
}

// perRound divides two things measured in the same rounds. The machine's speed changes from minute to
// minute, so a ratio is taken of neighbours in time and the median of those ratios is judged, not the
// ratio of two medians. A round in which either was discarded does not count.
func perRound(above, below map[int]float64) figure {
	var rounds []int
	for r := range above {
		if b, ok := below[r]; ok && b > 0 {
			rounds = append(rounds, r)
		}
	}
	slices.Sort(rounds)
	ratios := make([]float64, 0, len(rounds))
	for _, r := range rounds {
		ratios = append(ratios, above[r]/below[r])
	}
	return newFigure(ratios)
}
