package router

import (
	"bytes"
	"strings"
)

// The effects of commands that tools and administrators send and that change keys all the same.

// migrateOptions are those of MIGRATE host port key|"" db timeout [...].
type migrateOptions struct {
	copies bool
	keys   int // the index of the first key behind KEYS, 0 without KEYS
}

func parseMigrate(args [][]byte) (o migrateOptions, ok bool) {
	for i := 6; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case equalFold(word, "COPY"):
			o.copies = true
		case equalFold(word, "REPLACE"):
		case equalFold(word, "AUTH") && left >= 1:
			i++
		case equalFold(word, "AUTH2") && left >= 2:
			i += 2
		case equalFold(word, "KEYS"):
			o.keys = i + 1
			return o, len(args[3]) == 0 && left >= 1
		default:
			return o, false
		}
	}
	return o, true
}

func migrateKeys(dst []Key, args [][]byte) ([]Key, bool) {
	o, ok := parseMigrate(args)
	if !ok {
		return dst, false
	}
	if o.keys == 0 {
		return append(dst, Key{Arg: 3, DB: -1, Write: true}), true
	}
	for i := o.keys; i < len(args); i++ {
		dst = append(dst, Key{Arg: i, DB: -1, Write: true})
	}
	return dst, true
}

// migrateWrites: with COPY the keys stay.
func migrateWrites(args [][]byte) bool {
	o, ok := parseMigrate(args)
	return !ok || !o.copies
}

// migrateEffect: after +OK none of the keys is here any more, after +NOKEY none was. An error may come after
// some were moved.
func migrateEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	o, ok := parseMigrate(args)
	switch {
	case !ok:
		if !isError(reply) {
			e.copy()
		}
	case isError(reply):
		if !refusedUnseen(args, reply) && !bytes.HasPrefix(reply, []byte("-ERR syntax error")) {
			e.copy()
		}
	case string(reply) == "+NOKEY\r\n":
	case !isOK(reply):
		e.copy()
	case o.keys == 0:
		e.del(args[3])
	default:
		e.begin(1+len(args)-o.keys, "DEL", ExpectAny())
		e.argAll(args[o.keys:])
		e.Blind = true
	}
}

// harmlessDebug are the subcommands of DEBUG that change no key. Some of them end or stop the server, which
// its connections show.
var harmlessDebug = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`HELP SLEEP OBJECT DIGEST DIGEST-VALUE SDSLEN ZIPLIST LISTPACK QUICKLIST HTSTATS
		HTSTATS-KEY LOG ERROR PROTOCOL STRUCTSIZE MALLCTL MALLCTL-STR SCRIPT STRINGMATCH-TEST CLIENT-EVICTION
		CLIENT-ENFORCE-REPLY-LIST REPLYBUFFER DICT-RESIZING QUICKLIST-PACKED-THRESHOLD SET-ACTIVE-EXPIRE PAUSE-CRON
		CONFIG-REWRITE-FORCE-ALL CHANGE-REPL-ID REPLICATE AOF-FLUSH-SLEEP PANIC ASSERT SEGFAULT OOM LEAK`) {
		names[name] = true
	}
	return names
}()

// debugWrites: RELOAD, LOADAOF, POPULATE, RESTART, and what is not known may change any key.
func debugWrites(args [][]byte) bool {
	return len(args) < 2 || !harmlessDebug[string(bytes.ToUpper(args[1]))]
}

// debugRefuses: DEBUG PROTOCOL PUSH sends a message before or after its reply (and 6.0 no reply, or it
// crashes); DEBUG MARK-INTERNAL-CLIENT lets the connection do what clients may not.
func debugRefuses(args [][]byte) string {
	if len(args) > 1 && equalFold(args[1], "MARK-INTERNAL-CLIENT") {
		return reasonInternal
	}
	if len(args) > 2 && equalFold(args[1], "PROTOCOL") && equalFold(args[2], "PUSH") {
		return reasonPush
	}
	return ""
}
