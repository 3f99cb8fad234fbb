package proxy

import (
	"math"
	"strconv"

	"tandem/internal/resp"
	"tandem/router"
)

// A script that gives its keys a time to live, in seconds from now, does so on the secondary later than on the
// primary. So the primary is asked directly behind the script when its keys expire, and the same is set on the
// secondary behind the repetition.

// appendExpiryReads appends those questions: PEXPIRETIME of each key, or before 7.0 PTTL of each and TIME.
func appendExpiryReads(dst []byte, places []router.Key, args [][]byte, primary router.Server) (_ []byte, n int) {
	name := "PEXPIRETIME"
	if !primary.HasPExpireTime() {
		name = "PTTL"
	}
	for _, k := range places {
		dst = resp.AppendArgs(dst, [][]byte{[]byte(name), args[k.Arg]})
	}
	n = len(places)
	if n > 0 && !primary.HasPExpireTime() {
		dst = resp.AppendCommand(dst, "TIME")
		n++
	}
	return dst, n
}

// appendExpiries appends to a script's effect what sets its keys' expiries, and to timed the places of those
// keys that have one. If an answer is not what it should be, the effect becomes a copy.
func (sh *Shard) appendExpiries(e *router.Effect, timed []int, cmd *router.Command, args, follow [][]byte) []int {
	var room [8]router.Key
	places, _ := cmd.AppendKeys(room[:0], args)
	base := int64(0)
	if len(follow) == len(places)+1 {
		v, _, err := resp.Parse(follow[len(places)])
		if err != nil || len(v.Elems) != 2 {
			e.Kind = router.Copy
			return nil
		}
		s, errS := strconv.ParseInt(string(v.Elems[0].Str), 10, 64)
		us, errU := strconv.ParseInt(string(v.Elems[1].Str), 10, 64)
		if errS != nil || errU != nil {
			e.Kind = router.Copy
			return nil
		}
		base = s*1000 + us/1000
	}
	if len(follow) < len(places) {
		e.Kind = router.Copy
		return nil
	}
	for i, k := range places {
		v, _, err := resp.Parse(follow[i])
		if err != nil || v.Kind != ':' {
			e.Kind = router.Copy
			return nil
		}
		key := args[k.Arg]
		switch {
		case v.Int == -1:
			e.Frames = resp.AppendArgs(e.Frames, [][]byte{[]byte("PERSIST"), key})
		case v.Int < 0:
			e.Frames = resp.AppendArgs(e.Frames, [][]byte{[]byte("DEL"), key})
		default:
			ahead := base + sh.env.Shift
			if v.Int > math.MaxInt64-max(0, ahead) {
				e.Kind = router.Copy // Redis 6.0 takes what overflows its clock, and other versions do not
				return nil
			}
			timed = append(timed, i)
			at := strconv.AppendInt(nil, v.Int+ahead, 10)
			e.Frames = resp.AppendArgs(e.Frames, [][]byte{[]byte("PEXPIREAT"), key, at})
		}
		e.N++
		e.Expects = append(e.Expects, router.ExpectAny())
	}
	return timed
}
