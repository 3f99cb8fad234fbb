package precheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/instance"
)

// trial is one command, tried on the scratch key. {key} stands for its name and {dump} for a DUMP of it.
type trial struct {
	name string
	args string
	// has: the server knows it at all; nil for every version.
	has func(instance.Facts) bool
}

// needed are the commands that the migration itself sends, to either side. They are in the order in which they
// are made; whether a key is there does not matter to most, for a server refuses before it looks.
var needed = []trial{
	{name: "PING", args: "PING"},
	{name: "TIME", args: "TIME"},
	{name: "SELECT", args: "SELECT 0"},
	{name: "DBSIZE", args: "DBSIZE"},
	{name: "SCAN", args: "SCAN 0 COUNT 1"},
	{name: "SET", args: "SET {key} 1 PX " + scratchTTL},
	{name: "GET", args: "GET {key}"},
	{name: "TYPE", args: "TYPE {key}"},
	{name: "EXISTS", args: "EXISTS {key}"},
	{name: "PTTL", args: "PTTL {key}"},
	{name: "PEXPIRETIME", args: "PEXPIRETIME {key}", has: func(f instance.Facts) bool { return f.Server.HasPExpireTime() }},
	{name: "PEXPIRE", args: "PEXPIRE {key} " + scratchTTL},
	{name: "DUMP", args: "DUMP {key}"},
	{name: "RESTORE", args: "RESTORE {key} " + scratchTTL + " {dump} REPLACE"},
	{name: "MULTI", args: "MULTI"},
	{name: "EXEC", args: "EXEC"},
	{name: "DEL", args: "DEL {key}"},
	{name: "UNLINK", args: "UNLINK {key}"},
	// The key is gone: an expiry far away, or taken back, must not make it stay.
	{name: "PEXPIREAT", args: "PEXPIREAT {key} 33000000000000"},
	{name: "PERSIST", args: "PERSIST {key}"},
	// Of a string it would be refused.
	{name: "HPEXPIRETIME", args: "HPEXPIRETIME {key} FIELDS 1 a", has: func(f instance.Facts) bool { return f.Server.HasHashFieldTTL() }},
}

// typed are commands that clients write each type with. They are queued in a MULTI that removes the key again:
// a refusal shows when a command is queued.
var typed = []trial{
	{name: "RPUSH", args: "RPUSH {key} a"},
	{name: "SADD", args: "SADD {key} a"},
	{name: "HSET", args: "HSET {key} a 1"},
	{name: "ZADD", args: "ZADD {key} 1 a"},
	{name: "XADD", args: "XADD {key} 1-1 a 1"},
	{name: "XGROUP", args: "XGROUP CREATE {key} g 0"},
	{name: "XREADGROUP", args: "XREADGROUP GROUP g c STREAMS {key} >"},
}

// pieces are commands that only copies by type need beside, of large values and of those whose DUMPs the other side does
// not read. They are queued in one MULTI that removes the key again; to which types they belong does not matter there.
var pieces = []trial{
	{name: "STRLEN", args: "STRLEN {key}"},
	{name: "LLEN", args: "LLEN {key}"},
	{name: "SCARD", args: "SCARD {key}"},
	{name: "HLEN", args: "HLEN {key}"},
	{name: "ZCARD", args: "ZCARD {key}"},
	{name: "XLEN", args: "XLEN {key}"},
	{name: "GETRANGE", args: "GETRANGE {key} 0 0"},
	{name: "LRANGE", args: "LRANGE {key} 0 0"},
	{name: "SSCAN", args: "SSCAN {key} 0"},
	{name: "HSCAN", args: "HSCAN {key} 0"},
	{name: "ZSCAN", args: "ZSCAN {key} 0"},
	{name: "XRANGE", args: "XRANGE {key} - +"},
	{name: "XINFO", args: "XINFO STREAM {key}"},
	{name: "XPENDING", args: "XPENDING {key} g"},
	{name: "SETRANGE", args: "SETRANGE {key} 0 a"},
	{name: "XSETID", args: "XSETID {key} 1-1"},
	{name: "XCLAIM", args: "XCLAIM {key} g c 0 1-1"},
	{name: "XTRIM", args: "XTRIM {key} MAXLEN 0"},
	{name: "XDEL", args: "XDEL {key} 1-1"},
	{name: "HPEXPIREAT", args: "HPEXPIREAT {key} 33000000000000 FIELDS 1 a", has: func(f instance.Facts) bool { return f.Server.HasHashFieldTTL() }},
	{name: "RENAME", args: "RENAME {key} {key}"},
}

// refusal is why a command cannot be used.
type refusal struct {
	name  string
	typed bool
	// piece: only copies by type need it.
	piece bool
	text  string
}

// commands tries them all and names those that are refused: by the user's rights, or because the server knows
// no such command (renamed, disabled by the provider). A command of a type that the source refuses is no
// matter: clients do not use it.
func commands(ctx context.Context, r *run, s *side) finding {
	refusals, err := try(ctx, r, s)
	if err != nil {
		return broken(err)
	}
	s.refused = map[string]bool{}
	for _, f := range refusals {
		s.refused[f.name] = true
		r.limited = r.limited || !f.typed && !f.piece
	}
	lacking := slices.DeleteFunc(slices.Clone(refusals), func(f refusal) bool { return !f.piece })
	blocking := slices.DeleteFunc(refusals, func(f refusal) bool {
		return f.piece || f.typed && (s.Role == instance.Source || r.source.refused[f.name])
	})
	switch {
	case len(blocking) > 0:
	case len(lacking) > 0:
		return warning(s.remedyFor(lacking), "keys that are copied piece by piece, as large ones are, will fail: %s", describe(lacking))
	default:
		return success("all that are needed are allowed")
	}
	return failed(s.remedyFor(blocking), "%s", describe(blocking))
}

func try(ctx context.Context, r *run, s *side) ([]refusal, error) {
	var refusals []refusal
	var dump string
	for _, t := range needed {
		if t.has != nil && !t.has(s.info) || t.name == "RESTORE" && dump == "" {
			continue // without a DUMP there is nothing to RESTORE, and DUMP is among the refused
		}
		v, err := s.conn.Do(ctx, t.words(r.scratch, dump)...)
		var reply *instance.ReplyError
		switch {
		case err == nil:
			if t.name == "DUMP" {
				dump = string(v.Str)
			}
		case !errors.As(err, &reply):
			return nil, err
		case t.name == "EXEC" && strings.Contains(reply.Text, "without MULTI"):
			// MULTI was refused: that says nothing about EXEC.
		default:
			text := reply.Text
			if _, reason, ok := strings.Cut(text, "because of: "); ok {
				text = reason // EXECABORT, with the reason behind
			}
			refusals = append(refusals, refusal{name: t.name, text: text})
			if t.name == "EXEC" {
				// An unknown EXEC leaves the connection in the transaction.
				if _, err := s.conn.Pipe(ctx, []string{"DISCARD"}); err != nil {
					return nil, err
				}
			}
		}
	}
	if slices.ContainsFunc(refusals, func(f refusal) bool { return f.name == "MULTI" || f.name == "EXEC" }) {
		return refusals, nil
	}
	for _, t := range typed {
		v, err := s.conn.Pipe(ctx, []string{"MULTI"}, t.words(r.scratch, ""), []string{"DEL", r.scratch}, []string{"EXEC"})
		if err != nil {
			return nil, err
		}
		if v[1].IsError() {
			refusals = append(refusals, refusal{name: t.name, typed: true, text: string(v[1].Str)})
		}
	}
	lacking, err := tryPieces(ctx, r, s)
	return append(refusals, lacking...), err
}

// tryPieces tries what copies by type need.
func tryPieces(ctx context.Context, r *run, s *side) (refusals []refusal, err error) {
	block := [][]string{{"MULTI"}}
	var names []string
	for _, t := range pieces {
		if t.has == nil || t.has(s.info) {
			names = append(names, t.name)
			block = append(block, t.words(r.scratch, ""))
		}
	}
	v, err := s.conn.Pipe(ctx, append(block, []string{"DEL", r.scratch}, []string{"EXEC"})...)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if v[1+i].IsError() {
			refusals = append(refusals, refusal{name: name, piece: true, text: string(v[1+i].Str)})
		}
	}
	return refusals, nil
}

// words is the command as it is sent.
func (t trial) words(key, dump string) []string {
	args := strings.Fields(t.args)
	for i := range args {
		switch args[i] {
		case "{key}":
			args[i] = key
		case "{dump}":
			args[i] = dump
		}
	}
	return args
}

// describe groups by reason: "no permission for user app: DUMP, SCAN; unknown to the server: UNLINK".
func describe(refusals []refusal) string {
	var groups []string
	names := map[string][]string{}
	for _, f := range refusals {
		reason := strings.TrimSuffix(f.text, ".")
		switch lower := strings.ToLower(f.text); {
		case isKeyRule(f):
			reason = "the user may not touch the scratch key"
		case strings.HasPrefix(f.text, "NOPERM"):
			reason = "the user has no permission"
		case strings.Contains(lower, "unknown command"):
			reason = "unknown to the server (renamed or disabled)"
		}
		if names[reason] == nil {
			groups = append(groups, reason)
		}
		names[reason] = append(names[reason], f.name)
	}
	for i, reason := range groups {
		groups[i] = reason + ": " + strings.Join(names[reason], ", ")
	}
	return strings.Join(groups, "; ")
}

// isKeyRule: the user's key patterns refuse the key ("NOPERM ... access one of the keys ...", 7.0: "... access a key").
func isKeyRule(f refusal) bool {
	return strings.HasPrefix(f.text, "NOPERM") && strings.Contains(f.text, "access") && strings.Contains(f.text, "key")
}

// states are what a server refuses writes in, by the code of its error, and what ends them.
var states = map[string]string{
	"OOM":        "the server is full: raise its maxmemory (CONFIG SET maxmemory), or make room there",
	"MISCONF":    "the server cannot save: see its log why (is its disk full?), or CONFIG SET stop-writes-on-bgsave-error no",
	"NOREPLICAS": "the server has too few replicas in reach: mend them, or CONFIG SET min-replicas-to-write 0",
	"BUSY":       "a script keeps the server busy: wait until it ends, or end it (SCRIPT KILL)",
	"LOADING":    "wait until the server has loaded its data",
}

// remedyFor says what to change so that the refused commands are allowed.
func (s *side) remedyFor(refusals []refusal) string {
	var permit, restore, passing []string
	keys, other := false, false
	for _, f := range refusals {
		switch {
		case isKeyRule(f):
			keys = true
		case strings.HasPrefix(f.text, "NOPERM"):
			permit = append(permit, strings.ReplaceAll(strings.ToLower(f.name), " ", "|"))
		case strings.Contains(strings.ToLower(f.text), "unknown command"):
			restore = append(restore, f.name)
		default:
			code, _, _ := strings.Cut(f.text, " ")
			if do := states[code]; do == "" {
				other = true
			} else if !slices.Contains(passing, do) {
				passing = append(passing, do)
			}
		}
	}
	var todo []string
	if keys {
		todo = append(todo, fmt.Sprintf("let the user touch all keys, or at least those it moves and %s*: ACL SETUSER %s ~*", scratchPrefix, s.user()))
	}
	if len(permit) > 0 {
		todo = append(todo, "let the user run them: "+grant(s, permit...))
	}
	if len(restore) > 0 {
		todo = append(todo, "take the rename-command lines of "+strings.Join(restore, ", ")+" out of the server's configuration, or ask the provider to allow them")
	}
	todo = append(todo, passing...)
	if other {
		todo = append(todo, "see what the server's log says of the errors above")
	}
	return strings.Join(todo, "; ")
}

// allow says how commands that were refused are to be had: by the user's rights, or by their own names.
func (s *side) allow(refused error, commands ...string) string {
	if refused == nil || !strings.Contains(strings.ToLower(refused.Error()), "unknown command") {
		return "let the user run this: " + grant(s, commands...)
	}
	var names []string
	for _, c := range commands {
		name, _, _ := strings.Cut(strings.ToUpper(c), "|")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "take the rename-command lines of " + strings.Join(names, ", ") + " out of the server's configuration"
}

func grant(s *side, commands ...string) string {
	return "ACL SETUSER " + s.user() + " +" + strings.Join(commands, " +")
}

func (s *side) user() string {
	if s.User == "" {
		return "default"
	}
	return s.User
}
