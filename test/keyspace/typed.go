package keyspace

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"tandem/test/wire"
)

// A key's content as lines: what two sides must have alike, in an order that does not depend on the server.
// At is a point in time (Unix ms) that belongs to the line and may be off by the tolerance; -1 is none.
type line struct {
	text string
	at   int64
}

func plain(format string, a ...any) line { return line{fmt.Sprintf(format, a...), -1} }

// contents reads a key of both sides by type and returns what differs and where; "" when nothing does.
func (p pair) contents(key string, tolerance time.Duration) (what, detail string, err error) {
	var types [2]string
	for i, s := range p {
		reply, err := s.Do("TYPE", key)
		if err != nil {
			return "", "", fmt.Errorf("%s: TYPE %q: %w", s.Addr, key, err)
		}
		types[i] = reply.Str
	}
	if types[0] != types[1] {
		return "type", fmt.Sprintf("%s, %s", types[0], types[1]), nil
	}
	if types[0] == "string" {
		detail, err := p.bytes(key)
		if detail != "" {
			what = "value"
		}
		return what, detail, err
	}
	// Field expiry is compared only where both servers have it: elsewhere it cannot exist on both.
	fieldTTL := p[0].server.HasFieldTTL() && p[1].server.HasFieldTTL()
	streamFacts := p[0].server.HasPExpireTime() && p[1].server.HasPExpireTime()
	var lines [2][]line
	for i, s := range p {
		switch types[i] {
		case "hash":
			lines[i], err = s.hash(key, fieldTTL)
		case "list":
			lines[i], err = s.list(key)
		case "set":
			lines[i], err = s.set(key)
		case "zset":
			lines[i], err = s.zset(key)
		case "stream":
			lines[i], err = s.stream(key, streamFacts)
		case "none": // expired between two questions; the caller looks again
			return "", "", nil
		default:
			err = fmt.Errorf("%s: no way to compare type %s of %q", s.Addr, types[i], key)
		}
		if err != nil {
			return "", "", err
		}
	}
	if detail := diff(lines[0], lines[1], tolerance); detail != "" {
		return "value", types[0] + ": " + detail, nil
	}
	return "", "", nil
}

// bytesStep is how much of two strings is compared at a time.
const bytesStep = 1 << 20

// bytes compares two strings piece by piece.
func (p pair) bytes(key string) (detail string, err error) {
	var sizes [2]int64
	for i, s := range p {
		reply, err := s.Do("STRLEN", key)
		if err != nil {
			return "", fmt.Errorf("%s: STRLEN %q: %w", s.Addr, key, err)
		}
		sizes[i] = reply.Int
	}
	if sizes[0] != sizes[1] {
		return fmt.Sprintf("string of %d, %d bytes", sizes[0], sizes[1]), nil
	}
	for from := int64(0); from < sizes[0]; from += bytesStep {
		var part [2]string
		for i, s := range p {
			reply, err := s.Do("GETRANGE", key, strconv.FormatInt(from, 10), strconv.FormatInt(from+bytesStep-1, 10))
			if err != nil {
				return "", fmt.Errorf("%s: GETRANGE %q: %w", s.Addr, key, err)
			}
			part[i] = reply.Str
		}
		if from == 0 {
			part[0], part[1] = withoutCachedCount(part[0]), withoutCachedCount(part[1])
		}
		if part[0] != part[1] {
			at := 0
			for at < min(len(part[0]), len(part[1])) && part[0][at] == part[1][at] {
				at++
			}
			return fmt.Sprintf("string of %d bytes: from byte %d on %q, %q", sizes[0], from+int64(at),
				cut(part[0][at:]), cut(part[1][at:])), nil
		}
	}
	return "", nil
}

// withoutCachedCount blanks the bytes of a HyperLogLog in which PFCOUNT keeps its last answer.
func withoutCachedCount(s string) string {
	if len(s) < 16 || s[:4] != "HYLL" {
		return s
	}
	return s[:8] + "\x00\x00\x00\x00\x00\x00\x00\x00" + s[16:]
}

func (s *side) hash(key string, fieldTTL bool) ([]line, error) {
	reply, err := s.Do("HGETALL", key)
	if err != nil {
		return nil, fmt.Errorf("%s: HGETALL %q: %w", s.Addr, key, err)
	}
	lines := make([]line, 0, len(reply.Elems)/2)
	ask := []string{"HPEXPIRETIME", key, "FIELDS", strconv.Itoa(len(reply.Elems) / 2)}
	for i := 0; i+1 < len(reply.Elems); i += 2 {
		lines = append(lines, plain("field %q = %q", reply.Elems[i].Str, reply.Elems[i+1].Str))
		ask = append(ask, reply.Elems[i].Str)
	}
	if fieldTTL && len(lines) > 0 {
		times, err := s.Do(ask...)
		if err != nil {
			return nil, fmt.Errorf("%s: HPEXPIRETIME %q: %w", s.Addr, key, err)
		}
		for i := range times.Elems {
			lines[i].at = times.Elems[i].Int
		}
	}
	return sorted(lines), nil
}

// fieldsExpire reports whether a key, on either side, may change by itself while it is there: a hash that has
// fields with an expiry. (A field that has just expired leaves a trace in nothing.)
func (p pair) fieldsExpire(key string) (bool, error) {
	for _, s := range p {
		reply, err := s.Do("TYPE", key)
		if err != nil {
			return false, fmt.Errorf("%s: TYPE %q: %w", s.Addr, key, err)
		}
		if reply.Str != "hash" || !s.server.HasFieldTTL() {
			continue
		}
		lines, err := s.hash(key, true)
		if err != nil {
			return false, err
		}
		for _, l := range lines {
			if l.at >= 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

func (s *side) list(key string) ([]line, error) {
	reply, err := s.Do("LRANGE", key, "0", "-1")
	if err != nil {
		return nil, fmt.Errorf("%s: LRANGE %q: %w", s.Addr, key, err)
	}
	lines := make([]line, len(reply.Elems))
	for i, e := range reply.Elems {
		lines[i] = plain("element %d = %q", i, e.Str)
	}
	return lines, nil
}

func (s *side) set(key string) ([]line, error) {
	reply, err := s.Do("SMEMBERS", key)
	if err != nil {
		return nil, fmt.Errorf("%s: SMEMBERS %q: %w", s.Addr, key, err)
	}
	lines := make([]line, len(reply.Elems))
	for i, e := range reply.Elems {
		lines[i] = plain("member %q", e.Str)
	}
	return sorted(lines), nil
}

// zset compares scores as numbers: versions print the same double differently.
func (s *side) zset(key string) ([]line, error) {
	reply, err := s.Do("ZRANGE", key, "0", "-1", "WITHSCORES")
	if err != nil {
		return nil, fmt.Errorf("%s: ZRANGE %q: %w", s.Addr, key, err)
	}
	lines := make([]line, 0, len(reply.Elems)/2)
	for i := 0; i+1 < len(reply.Elems); i += 2 {
		score, err := strconv.ParseFloat(reply.Elems[i+1].Str, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: score of %q in %q: %w", s.Addr, reply.Elems[i].Str, key, err)
		}
		lines = append(lines, plain("member %q score %s", reply.Elems[i].Str, strconv.FormatFloat(score, 'g', -1, 64)))
	}
	return lines, nil
}

// stream reads entries and, by XINFO STREAM FULL, groups with their consumers and pending entries. facts adds
// the counters that servers keep since 7.0.
func (s *side) stream(key string, facts bool) ([]line, error) {
	entries, err := s.Do("XRANGE", key, "-", "+")
	if err != nil {
		return nil, fmt.Errorf("%s: XRANGE %q: %w", s.Addr, key, err)
	}
	info, err := s.Do("XINFO", "STREAM", key, "FULL", "COUNT", "0")
	if errors.Is(err, wire.ServerError("ERR no such key")) {
		return nil, nil // it has just expired; the other side's lines make the caller look again
	}
	if err != nil {
		return nil, fmt.Errorf("%s: XINFO STREAM %q: %w", s.Addr, key, err)
	}
	var lines []line
	for _, e := range entries.Elems {
		lines = append(lines, plain("entry %s %q", e.Elems[0].Str, e.Elems[1].Strings()))
	}
	names := []string{"last-generated-id"}
	if facts {
		names = append(names, "max-deleted-entry-id", "entries-added", "recorded-first-entry-id")
	}
	for _, name := range names {
		v, _ := info.Field(name)
		lines = append(lines, plain("%s %s", name, v))
	}
	groups, _ := info.Field("groups")
	sort.Slice(groups.Elems, func(i, j int) bool { return groupName(groups.Elems[i]) < groupName(groups.Elems[j]) })
	for _, g := range groups.Elems {
		of, err := group(g, facts)
		if err != nil {
			return nil, fmt.Errorf("%s: XINFO STREAM %q: %w", s.Addr, key, err)
		}
		lines = append(lines, of...)
	}
	return lines, nil
}

func groupName(g wire.Reply) string {
	name, _ := g.Field("name")
	return name.Str
}

// group renders one consumer group. Consumers' seen and active times are when somebody last asked, not data.
func group(g wire.Reply, facts bool) ([]line, error) {
	name := groupName(g)
	last, _ := g.Field("last-delivered-id")
	lines := []line{plain("group %q last-delivered-id %s", name, last)}
	if facts {
		read, _ := g.Field("entries-read")
		lines = append(lines, plain("group %q entries-read %s", name, read))
	}
	pending, ok := g.Field("pending")
	if !ok {
		return nil, fmt.Errorf("group %q without its pending entries", name)
	}
	for _, e := range pending.Elems { // id, consumer, delivery time, delivery count
		lines = append(lines, line{
			text: fmt.Sprintf("group %q pending %s of %q delivered %d times", name, e.Elems[0].Str, e.Elems[1].Str, e.Elems[3].Int),
			at:   e.Elems[2].Int,
		})
	}
	consumers, ok := g.Field("consumers")
	if !ok {
		return nil, fmt.Errorf("group %q without its consumers", name)
	}
	var names []line
	for _, c := range consumers.Elems {
		n, _ := c.Field("name")
		names = append(names, plain("group %q consumer %s", name, n))
	}
	return append(lines, sorted(names)...), nil
}

func sorted(lines []line) []line {
	sort.Slice(lines, func(i, j int) bool { return lines[i].text < lines[j].text })
	return lines
}

// diff describes where two renderings differ first; "" when they do not.
func diff(a, b []line, tolerance time.Duration) string {
	i := 0
	for i < min(len(a), len(b)) && a[i].text == b[i].text && near(a[i].at, b[i].at, tolerance) {
		i++
	}
	if i == len(a) && i == len(b) {
		return ""
	}
	show := func(l []line) string {
		if i == len(l) {
			return "nothing more"
		}
		if l[i].at >= 0 {
			return fmt.Sprintf("%s at %d", cut(l[i].text), l[i].at)
		}
		return cut(l[i].text)
	}
	return strings.Join([]string{fmt.Sprintf("%d, %d lines; first difference: ", len(a), len(b)), show(a), " | ", show(b)}, "")
}

// cut shortens a text for a message.
func cut(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
