package precheck

import (
	"context"
	"strconv"
	"strings"
)

// durability is how a server keeps its data over a restart, in rising order.
type durability int

const (
	durabilityUnknown durability = iota
	durabilityNone
	durabilitySnapshots
	durabilityLog
)

func (d durability) String() string {
	return [...]string{"does not tell what it keeps on disk", "keeps nothing on disk", "saves snapshots", "keeps an append-only file"}[d]
}

func (s *side) durability(ctx context.Context) (durability, error) {
	aof, err := s.infoField(ctx, "aof_enabled")
	if err != nil {
		return 0, err
	}
	if aof == "1" {
		return durabilityLog, nil
	}
	save, told, err := s.setting(ctx, "save")
	switch {
	case err != nil:
		return 0, err
	case !told || aof == "":
		return durabilityUnknown, nil
	case strings.TrimSpace(save) == "":
		return durabilityNone, nil
	}
	return durabilitySnapshots, nil
}

// targetPersistence warns of a target that would lose with its process what the source keeps.
func targetPersistence(ctx context.Context, r *run, _ *side) finding {
	source, err := r.source.durability(ctx)
	if err != nil {
		return broken(err)
	}
	target, err := r.target.durability(ctx)
	if err != nil {
		return broken(err)
	}
	if target == durabilityUnknown || target >= source {
		return success("the source %v, the target %v", source, target)
	}
	remedy := "on the target: CONFIG SET appendonly yes"
	if source == durabilitySnapshots {
		save, _, err := r.source.setting(ctx, "save")
		if err != nil {
			return broken(err)
		}
		remedy = "on the target: CONFIG SET save " + strconv.Quote(save)
	}
	return warning(remedy+"; and in its configuration file", "the source %v, the target %v", source, target)
}

// targetReplicas warns of a target that nobody takes over from.
func targetReplicas(ctx context.Context, r *run, _ *side) finding {
	var replicas [2]int
	for i, s := range []*side{r.source, r.target} {
		text, err := s.infoField(ctx, "connected_slaves")
		if err != nil {
			return broken(err)
		}
		replicas[i], _ = strconv.Atoi(text) // 0 when it does not tell
	}
	if replicas[0] > 0 && replicas[1] == 0 {
		return warning("give the target a replica before the cutover, and point at it who reads replicas of the source",
			"the source has %s, the target none", replicasIn(replicas[0]))
	}
	return success("the source has %s, the target %s", replicasIn(replicas[0]), replicasIn(replicas[1]))
}

func replicasIn(n int) string {
	switch n {
	case 0:
		return "no replica"
	case 1:
		return "1 replica"
	}
	return strconv.Itoa(n) + " replicas"
}
