package config

import "strings"

// twoWay checks what cannot be had together with clients on both instances.
func (v *validator) twoWay() {
	c := v.config
	v.address("listen_target", c.ListenTarget, "127.0.0.1:6381")
	for _, other := range []struct{ key, addr string }{{"listen", c.Listen}, {"admin.listen", c.Admin.Listen}} {
		if c.ListenTarget == other.addr && !strings.HasSuffix(other.addr, ":0") {
			v.add(Problem{Key: "listen_target", Value: c.ListenTarget, Wrong: "is the address of " + other.key + " too", Do: "give them different ports"})
		}
	}
	if c.Tracking == "on" {
		v.add(Problem{Key: "tracking", Value: c.Tracking, Wrong: "cannot be had with listen_target: each server would report all that Tandem brings it from the other one",
			Do: "set tracking: auto or off, which are the same then, and make sure that nobody writes past Tandem"})
	}
	if c.Ack == "both" {
		v.add(Problem{Key: "ack", Value: c.Ack, Wrong: "cannot be had with listen_target", Do: "set ack: source: a write is answered by the instance of its client"})
	}
	if c.Verify.ShadowReads > 0 {
		v.add(Problem{Key: "verify.shadow_reads", Value: c.Verify.ShadowReads.String(), Wrong: "cannot be had with listen_target: the other server answers as it is before the other side's last writes",
			Do: "set it to 0"})
	}
	keeps := func(policy string) bool { return policy == "skip" || policy == "newest" }
	const noneKept = "cannot be had with listen_target: a key that is kept is another one on each instance"
	if keeps(c.Duplicates) {
		v.add(Problem{Key: "duplicates", Value: c.Duplicates, Wrong: noneKept, Do: "set error or overwrite"})
	}
	for _, rule := range c.DuplicatesByPattern {
		if keeps(rule.Policy) {
			v.add(Problem{Key: "duplicates_by_pattern", Value: rule.Pattern, Wrong: noneKept, Do: "set its policy to error or overwrite"})
		}
	}
	if c.TargetOnly == "keep" || c.TargetOnly == "auto" && c.Duplicates == "overwrite" {
		v.add(Problem{Key: "target_only", Value: c.TargetOnly, Wrong: noneKept, Do: "set refuse or delete"})
	}
}
