package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/internal/instance"
	"tandem/internal/rdb"
	"tandem/internal/resp"
)

// sample is a small value of one type, made in the scratch key.
type sample struct {
	what string
	make []string
	// has: the server has such values; nil for every version.
	has func(instance.Facts) bool
}

// samples are one for each type byte that a payload of small values begins with.
var samples = []sample{
	{what: "string", make: []string{"SET {key} text"}},
	{what: "list", make: []string{"RPUSH {key} a b"}},
	{what: "set", make: []string{"SADD {key} a b"}},
	{what: "set of integers", make: []string{"SADD {key} 1 2"}},
	{what: "hash", make: []string{"HSET {key} a 1"}},
	{what: "hash with field expiry", make: []string{"HSET {key} a 1", "HPEXPIRE {key} 3600000 FIELDS 1 a"},
		has: func(f instance.Facts) bool { return f.Server.HasHashFieldTTL() }},
	{what: "sorted set", make: []string{"ZADD {key} 1 a"}},
	{what: "stream", make: []string{"XADD {key} 1-1 a 1", "XGROUP CREATE {key} g 0", "XREADGROUP GROUP g c STREAMS {key} >"}},
}

func dumpExchange(ctx context.Context, r *run, _ *side) finding {
	x, err := exchange(ctx, r, r.source, r.target)
	switch {
	case err != nil:
		return broken(err)
	case x.made == 0:
		return failed(r.source.remedyFor(x.unmade), "no DUMP could be tried: the source refuses to make values: %s", describe(x.unmade))
	case len(x.refused) > 0:
		return failed(r.target.remedyFor(x.refusals), "%s", x.text(r.source, r.target))
	}
	return success("%s", x.text(r.source, r.target))
}

func dumpReturn(ctx context.Context, r *run, _ *side) finding {
	x, err := exchange(ctx, r, r.target, r.source)
	switch {
	case err != nil:
		return broken(err)
	case x.made == 0:
		return warning(r.target.remedyFor(x.unmade), "no DUMP could be tried: the target refuses to make values: %s", describe(x.unmade))
	case len(x.refused) > 0:
		return warning(r.source.remedyFor(x.refusals)+"; or before the cutover be sure of the target. Writes reach "+
			"the source all the same, but a key that needs a repair there stays a named blocker of the rollback",
			"%s", x.text(r.target, r.source))
	}
	return success("%s", x.text(r.target, r.source))
}

// exchanged is how values of each type come from one side to the other.
type exchanged struct {
	// made is how many types could be tried.
	made int
	// rewritten and typed are those of which the other side does not read the payload: it is written anew, or the value is
	// copied by type.
	rewritten, typed []string
	// refused says, by reason, which were not taken; refusals are those reasons.
	refused  []string
	refusals []refusal
	// unmade is what was refused when a value was to be made.
	unmade []refusal
}

func (x *exchanged) text(from, to *side) string {
	parts := []string{}
	some := func(what string, types []string) {
		switch {
		case len(types) == x.made:
			parts = append(parts, "all types, "+what)
		case len(types) > 0:
			parts = append(parts, strings.Join(types, ", ")+" "+what)
		}
	}
	if len(x.rewritten)+len(x.typed)+len(x.refused) == 0 {
		parts = append(parts, "all types")
	}
	some("in an older form", x.rewritten)
	some("piece by piece", x.typed)
	parts = append(parts, x.refused...)
	return fmt.Sprintf("%s to %s: %s", from.info.Version, to.info.Version, strings.Join(parts, "; "))
}

// exchange makes a value of each type on one side and copies it to the other, as the migration will.
func exchange(ctx context.Context, r *run, from, to *side) (*exchanged, error) {
	if err := r.askForms(ctx, to); err != nil {
		return nil, err
	}
	x := &exchanged{}
	types := map[string][]string{}
	var reasons []string
	for _, s := range samples {
		if s.has != nil && !s.has(from.info) {
			continue
		}
		payload, why, err := r.dump(ctx, from, s)
		if err != nil {
			return nil, err
		}
		if payload == "" {
			x.unmade = append(x.unmade, slices.DeleteFunc(why, func(f refusal) bool { return slices.Contains(x.unmade, f) })...)
			continue
		}
		x.made++
		carried, how := to.carried(payload)
		switch how {
		case byPieces:
			x.typed = append(x.typed, s.what)
			continue
		case rewritten:
			x.rewritten = append(x.rewritten, s.what)
		}
		_, err = to.conn.Do(ctx, "RESTORE", r.scratch, scratchTTL, carried, "REPLACE")
		var reply *instance.ReplyError
		if err != nil && !errors.As(err, &reply) {
			return nil, err
		}
		if err != nil {
			if types[reply.Text] == nil {
				reasons = append(reasons, reply.Text)
			}
			types[reply.Text] = append(types[reply.Text], s.what)
		}
	}
	for _, s := range []*side{from, to} {
		if err := r.remove(ctx, s); err != nil {
			return nil, err
		}
	}
	for _, reason := range reasons {
		x.refusals = append(x.refusals, refusal{name: "RESTORE", text: reason})
		what := strings.Join(types[reason], ", ")
		if len(types[reason]) == x.made {
			what = "every type"
		}
		x.refused = append(x.refused, fmt.Sprintf("%s refused (%s)", what, reason))
	}
	return x, nil
}

// askForms finds out what a side reads.
func (r *run) askForms(ctx context.Context, s *side) error {
	if err := r.remove(ctx, s); err != nil {
		return err
	}
	var block [][]string
	for _, q := range rdb.Questions() {
		block = append(block, []string{"RESTORE", r.scratch, "1", q, "ABSTTL"})
	}
	replies, err := s.conn.Pipe(ctx, block...)
	if err != nil {
		return err
	}
	ok := make([]bool, len(replies))
	for i := range replies {
		ok[i] = !replies[i].IsError()
	}
	s.reads = rdb.NewDialect(ok)
	return nil
}

// carriage is how a value is carried.
type carriage int

const (
	asItIs carriage = iota
	rewritten
	byPieces
)

// carried is what a payload is for a side.
func (s *side) carried(payload string) (string, carriage) {
	if s.reads == nil {
		return payload, asItIs // the refusal says why
	}
	out, err := s.reads.Rewrite([]byte(payload), time.Now().UnixMilli(), 2*int64(len(payload))+1<<20)
	switch {
	case err != nil:
		return payload, byPieces
	case string(out.Payload) == payload:
		return payload, asItIs
	}
	return string(out.Payload), rewritten
}

// fieldExpiry is about hashes whose fields expire, on a source that has those and a target that has not.
func fieldExpiry(_ context.Context, r *run, _ *side) finding {
	switch keys := r.source.info.ExpiringFields; {
	case r.source.reads == nil || r.target.reads == nil:
		return success("not known: RESTORE is refused, see there")
	case !r.source.reads.ExpiringFields():
		return success("%s has no expiry of hash fields", r.source.info.Version)
	case r.target.reads.ExpiringFields():
		return success("both servers have it")
	case keys == 0:
		return success("%s has no expiry of hash fields, and %s uses none now", r.target.info.Version, r.source.info.Version)
	default:
		return warning("choose a target that has it (Redis 7.4, Valkey 9.0), or accept that after the cutover these fields stay for ever; "+
			"until then Tandem removes each from the target when it has expired on the source",
			"%d hashes of %s have fields that expire, and %s knows no expiry of fields", keys, r.source.info.Version, r.target.info.Version)
	}
}

// dump makes the sample in the scratch key and returns its DUMP, or what of the commands for it is refused. The expiry comes
// in the same block, so that nothing can stay behind.
func (r *run) dump(ctx context.Context, s *side, x sample) (payload string, why []refusal, err error) {
	if err := r.remove(ctx, s); err != nil {
		return "", nil, err
	}
	block := [][]string{{"MULTI"}}
	for _, command := range x.make {
		block = append(block, trial{args: command}.words(r.scratch, ""))
	}
	block = append(block, []string{"PEXPIRE", r.scratch, scratchTTL}, []string{"DUMP", r.scratch}, []string{"EXEC"})
	replies, err := s.conn.Pipe(ctx, block...)
	if err != nil {
		return "", nil, err
	}
	results := replies[len(replies)-1].Elems
	for i, answers := range [][]resp.Value{replies[1 : len(replies)-1], results} { // refused when queued, or when executed
		for k := range answers {
			if answers[k].IsError() && 1+k < len(block)-1 {
				why = append(why, refusal{name: block[1+k][0], text: string(answers[k].Str)})
			}
		}
		if i == 0 && len(results) != len(x.make)+2 && why == nil {
			why = append(why, refusal{name: "EXEC", text: string(replies[len(replies)-1].Str)})
		}
		if why != nil {
			return "", why, nil
		}
	}
	return string(results[len(results)-1].Str), nil, nil
}

// remove deletes the scratch key by whichever command is allowed.
func (r *run) remove(ctx context.Context, s *side) error {
	_, err := s.conn.Pipe(ctx, []string{"DEL", r.scratch}, []string{"UNLINK", r.scratch})
	return err
}
