package precheck

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tandem/internal/instance"
)

// setting asks for one setting of the server. told is false where it does not tell: CONFIG GET is refused, or it has no
// such setting.
func (s *side) setting(ctx context.Context, name string) (value string, told bool, err error) {
	v, err := s.conn.Do(ctx, "CONFIG", "GET", name)
	var reply *instance.ReplyError
	switch {
	case errors.As(err, &reply):
		return "", false, nil
	case err != nil:
		return "", false, err
	case len(v.Elems) != 2:
		return "", false, nil
	}
	return string(v.Elems[1].Str), true, nil
}

// number is a setting that is one.
func (s *side) number(ctx context.Context, name string) (n int64, told bool, err error) {
	value, told, err := s.setting(ctx, name)
	if err != nil || !told {
		return 0, false, err
	}
	n, err = strconv.ParseInt(value, 10, 64)
	return n, err == nil, nil
}

// infoField is a field of INFO, empty if there is none. INFO is asked once.
func (s *side) infoField(ctx context.Context, name string) (string, error) {
	if s.fields == nil {
		v, err := s.conn.Do(ctx, "INFO")
		if err != nil {
			return "", err
		}
		s.fields = map[string]string{}
		for line := range strings.Lines(string(v.Str)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				s.fields[key] = value
			}
		}
	}
	return s.fields[name], nil
}

// untold is the finding of a setting that the server keeps to itself, as many providers have it.
func untold(name string) finding {
	return success("the server does not tell %s (CONFIG GET is refused)", name)
}

// ownConnections is how many a migration needs on a server besides those that clients occupy: lanes, the copier, sweeps,
// a verify, and those that watch.
const ownConnections = 32

// maxClients looks whether there is room for the connections of the migration; on the target also for those that
// clients have on the source now: each that blocks, watches or listens has one of its own there after a cutover.
func maxClients(ctx context.Context, r *run, s *side) finding {
	limit, told, err := s.number(ctx, "maxclients")
	if err != nil {
		return broken(err)
	}
	if !told {
		text, err := s.infoField(ctx, "maxclients")
		if err != nil {
			return broken(err)
		}
		if limit, err = strconv.ParseInt(text, 10, 64); err != nil {
			return untold("maxclients")
		}
	}
	connected, err := s.clients(ctx)
	if err != nil {
		return broken(err)
	}
	needed, also := int64(ownConnections), ""
	if s.Role == instance.Target && r.source.has >= facts {
		theirs, err := r.source.clients(ctx)
		if err != nil {
			return broken(err)
		}
		needed += theirs
		also = fmt.Sprintf(" and %d for the clients that the source has now", theirs)
	}
	found := fmt.Sprintf("%d of %d connections are taken", connected, limit)
	if limit-connected < needed {
		return warning(fmt.Sprintf("raise maxclients there: CONFIG SET maxclients %d, and in its configuration file", roundUp(connected+needed)),
			"%s; the migration needs some %d%s", found, ownConnections, also)
	}
	return success("%s", found)
}

// clients is how many are connected, 0 if the server does not tell.
func (s *side) clients(ctx context.Context) (int64, error) {
	text, err := s.infoField(ctx, "connected_clients")
	if err != nil {
		return 0, err
	}
	n, _ := strconv.ParseInt(text, 10, 64) // 0 when it does not tell
	return n, nil
}

// roundUp is the next multiple of 100.
func roundUp(n int64) int64 { return (n + 99) / 100 * 100 }

// idleTimeout looks whether the server closes connections on which nothing happens.
func idleTimeout(ctx context.Context, _ *run, s *side) finding {
	seconds, told, err := s.number(ctx, "timeout")
	switch {
	case err != nil:
		return broken(err)
	case !told:
		return untold("timeout")
	case seconds == 0:
		return success("idle connections stay open")
	}
	return warning("CONFIG SET timeout 0, and in its configuration file; what clients of Tandem may do is set by clients.idle_timeout",
		"it closes connections that are idle for %d s", seconds)
}

// The least that output buffers must hold: a reply that a value is copied from, and the reports of changed keys that
// come in a burst.
const (
	leastNormalBuffer = 512 << 20
	leastPubsubBuffer = 8 << 20
)

// outputBuffers looks at client-output-buffer-limit: a class and three numbers each, hard limit, soft limit, seconds.
func outputBuffers(ctx context.Context, _ *run, s *side) finding {
	text, told, err := s.setting(ctx, "client-output-buffer-limit")
	switch {
	case err != nil:
		return broken(err)
	case !told:
		return untold("client-output-buffer-limit")
	}
	var found, remedy []string
	words := strings.Fields(text)
	for i := 0; i+3 < len(words); i += 4 {
		least, what := int64(0), ""
		switch words[i] {
		case "normal":
			least, what = leastNormalBuffer, "a larger value cannot be copied, and a client that reads one is closed"
		case "pubsub":
			least, what = leastPubsubBuffer, "a burst of messages, or of reports of changed keys, breaks the connection"
		default:
			continue
		}
		hard, err1 := strconv.ParseInt(words[i+1], 10, 64)
		soft, err2 := strconv.ParseInt(words[i+2], 10, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		lowest := hard
		if words[i] == "normal" && soft > 0 && (hard == 0 || soft < hard) {
			lowest = soft // of one large reply, it lasts
		}
		if lowest > 0 && lowest < least {
			found = append(found, fmt.Sprintf("%s of class %s: %s", bytes(lowest), words[i], what))
			limit := "0 0 0"
			if words[i] == "pubsub" {
				limit = "33554432 8388608 60" // the servers' own default
			}
			remedy = append(remedy, fmt.Sprintf("CONFIG SET client-output-buffer-limit \"%s %s\"", words[i], limit))
		}
	}
	if len(found) == 0 {
		return success("replies and messages have room")
	}
	return warning(strings.Join(remedy, "; ")+"; and in its configuration file", "%s", strings.Join(found, "; "))
}

// targetSettings compares what clients notice of the servers' settings after a cutover.
func targetSettings(ctx context.Context, r *run, _ *side) finding {
	var found, remedy []string
	differs := func(what, do string) { found, remedy = append(found, what), append(remedy, do) }

	source, told, err := r.source.setting(ctx, "notify-keyspace-events")
	target, toldToo, err2 := r.target.setting(ctx, "notify-keyspace-events")
	if err := errors.Join(err, err2); err != nil {
		return broken(err)
	}
	if missing := missingEvents(source, target); told && toldToo && missing != "" {
		differs(fmt.Sprintf("the source tells clients of events that the target does not (notify-keyspace-events %q and %q)", source, target),
			"CONFIG SET notify-keyspace-events "+source+missingFrom(target, source))
	}
	longest, told, err := r.source.number(ctx, "proto-max-bulk-len")
	theirs, toldToo, err2 := r.target.number(ctx, "proto-max-bulk-len")
	if err := errors.Join(err, err2); err != nil {
		return broken(err)
	}
	if told && toldToo && theirs < longest {
		differs(fmt.Sprintf("the source takes arguments of up to %s, the target of up to %s: what is longer cannot be copied or written there",
			bytes(longest), bytes(theirs)), fmt.Sprintf("CONFIG SET proto-max-bulk-len %d", longest))
	}
	switch {
	case len(found) > 0:
		return warning("on the target: "+strings.Join(remedy, "; ")+"; and in its configuration file", "%s", strings.Join(found, "; "))
	case !told || !toldToo:
		return success("not all are told (CONFIG GET is refused)")
	}
	return success("those that clients notice are alike")
}

// allEvents is what the flag A stands for, in every version.
const allEvents = "g$lshzxetd"

// missingEvents are the flags of source that target lacks.
func missingEvents(source, target string) string {
	if !strings.ContainsAny(source, "KE") {
		return "" // nobody is told of anything
	}
	return missingFrom(strings.ReplaceAll(source, "A", allEvents), strings.ReplaceAll(target, "A", allEvents))
}

// missingFrom are the flags of a that b lacks.
func missingFrom(a, b string) string {
	return strings.Map(func(flag rune) rune {
		if strings.ContainsRune(b, flag) {
			return -1
		}
		return flag
	}, a)
}
