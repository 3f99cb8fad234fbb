package backfill

import "math"

// confidence is that of AtMost.
const confidence = 0.95

// AtMost is what a sample says of the whole: of n keys that were chosen at random, different were found to differ; with
// 95 % confidence no larger share of all keys does. It is the exact one-sided bound for a binomial (Clopper and Pearson);
// that keys are drawn without putting them back only makes it safer. Of no keys it says nothing: 1.
//
// With none different it is about 3/n: 30,000 equal keys say that less than 1 in 10,000 differs.
func AtMost(n, different int64) float64 {
	if different >= n {
		return 1
	}
	low, high := float64(different)/float64(n), 1.0
	for range 100 {
		p := (low + high) / 2
		if fewer(n, different, p) > 1-confidence {
			low = p // so few are not unlikely yet
		} else {
			high = p
		}
	}
	return high
}

// fewer is the chance that of n keys at most k differ, if each does with probability p, which is above k/n.
func fewer(n, k int64, p float64) float64 {
	// The chance of k, from which those of k-1, k-2, ... follow; they shrink, and are added until they no longer count.
	fn, fk := float64(n), float64(k)
	a, _ := math.Lgamma(fn + 1)
	b, _ := math.Lgamma(fk + 1)
	c, _ := math.Lgamma(fn - fk + 1)
	term := math.Exp(a - b - c + fk*math.Log(p) + (fn-fk)*math.Log1p(-p))
	sum := 0.0
	for ; k >= 0 && term > sum*1e-12; k-- {
		sum += term
		term *= float64(k) / float64(n-k+1) * (1 - p) / p
	}
	return sum
}
