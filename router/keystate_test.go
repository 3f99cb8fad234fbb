package router

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"tandem/internal/resp"
)

// keyState is what a key holds, in a form that is equal for equal keys whatever the server's version and the
// encoding. Times that follow from the moment of a command stand apart, for they may differ a little.
type keyState struct {
	text    string
	expires int64   // Unix ms, -1 without, -2 when there is no key
	near    []int64 // delivery and consumer times, Unix ms
}

// nearTime is by how much times may differ, in ms, that depend on when a command ran, besides what its effect was
// measured to be behind it; lateTime, when effects
// run long after their commands.
const nearTime, lateTime = 150, 10000

// describe reads a key. common is the older of the two servers that are compared: what it does not know is
// left out.
func (k *conn) describe(key string, common Server) keyState {
	k.t.Helper()
	s := keyState{expires: k.expiry(key)}
	switch kind := string(k.must("TYPE", key).Str); kind {
	case "none":
		s.expires = -2
	case "string":
		s.text = fmt.Sprintf("string %q", k.must("GET", key).Str)
	case "list":
		s.text = "list " + join(k.must("LRANGE", key, "0", "-1").Elems, 1, false)
	case "set":
		s.text = "set " + join(k.must("SMEMBERS", key).Elems, 1, true)
	case "zset":
		s.text = "zset " + scores(k.must("ZRANGE", key, "0", "-1", "WITHSCORES"))
	case "hash":
		s.text = "hash " + k.hash(key)
		if s.text == "hash " && k.server.HasHashFieldTTL() {
			s = keyState{expires: -2} // all fields have expired and will be swept away, and the key with them
		}
	case "stream":
		s.text = "stream " + k.stream(key, common, &s.near)
	default:
		s.text = fmt.Sprintf("%s %x", kind, k.must("DUMP", key).Str)
	}
	return s
}

// expiry is when a key expires, by PEXPIRETIME or, before 7.0, by PTTL and this machine's clock.
func (k *conn) expiry(key string) int64 {
	if k.server.HasPExpireTime() {
		return k.must("PEXPIRETIME", key).Int
	}
	ttl := k.must("PTTL", key).Int
	if ttl < 0 {
		return ttl
	}
	return ttl + time.Now().UnixMilli()
}

func join(values []resp.Value, group int, sorted bool) string {
	var items []string
	for i := 0; i < len(values); i += group {
		item := ""
		for _, v := range values[i : i+group] {
			item += fmt.Sprintf("%q ", v.Str)
		}
		items = append(items, item)
	}
	if sorted {
		sort.Strings(items)
	}
	return strings.Join(items, ",")
}

// scores prints a sorted set with its scores as exact doubles: versions print them differently, and RESP3
// has pairs.
func scores(v resp.Value) string {
	var flat []resp.Value
	for _, e := range v.Elems {
		if e.Elems != nil {
			flat = append(flat, e.Elems...)
		} else {
			flat = append(flat, e)
		}
	}
	var b strings.Builder
	for i := 0; i+1 < len(flat); i += 2 {
		f, _ := strconv.ParseFloat(string(flat[i+1].Str), 64)
		fmt.Fprintf(&b, "%q=%s ", flat[i].Str, strconv.FormatFloat(f, 'x', -1, 64))
	}
	return b.String()
}

// hash prints the fields with their values and expiries.
func (k *conn) hash(key string) string {
	all := k.must("HGETALL", key).Elems
	var items []string
	for i := 0; i+1 < len(all); i += 2 {
		item := fmt.Sprintf("%q=%q", all[i].Str, all[i+1].Str)
		if k.server.HasHashFieldTTL() {
			at := k.must("HPEXPIRETIME", key, "FIELDS", "1", string(all[i].Str))
			if at.Elems[0].Int != -1 {
				item += fmt.Sprintf("@%d", at.Elems[0].Int)
			}
		}
		items = append(items, item)
	}
	sort.Strings(items)
	return strings.Join(items, " ")
}

// stream prints entries, groups, consumers and pending entries.
func (k *conn) stream(key string, common Server, near *[]int64) string {
	var b strings.Builder
	streamTree(&b, k.must("XINFO", "STREAM", key, "FULL", "COUNT", "0"), common, near)
	return b.String()
}

// streamTree prints the nested names and values of XINFO STREAM FULL.
func streamTree(b *strings.Builder, v resp.Value, common Server, near *[]int64) {
	isMap := v.Kind == '%' || len(v.Elems) > 1 && len(v.Elems)%2 == 0 && mapName(v.Elems[0].Str)
	if !isMap {
		b.WriteByte('[')
		for i, e := range v.Elems {
			switch {
			case e.Elems != nil:
				streamTree(b, e, common, near)
			case e.Kind == ':' && e.Int > 1e12 && i >= len(v.Elems)-2: // a pending entry's delivery time
				*near = append(*near, e.Int)
			case e.Kind == ':':
				fmt.Fprintf(b, "%d ", e.Int)
			default:
				fmt.Fprintf(b, "%q ", e.Str)
			}
		}
		b.WriteByte(']')
		return
	}
	for i := 0; i+1 < len(v.Elems); i += 2 {
		name, value := string(v.Elems[i].Str), v.Elems[i+1]
		switch name {
		case "radix-tree-keys", "radix-tree-nodes", "lag":
			continue
		case "max-deleted-entry-id", "entries-added", "recorded-first-entry-id", "entries-read":
			if !redis70.in(common) {
				continue
			}
		case "seen-time", "active-time":
			if !common.HasEmptyConsumers() {
				continue // they mean something else before 7.2
			}
			*near = append(*near, value.Int)
			continue
		}
		fmt.Fprintf(b, "%s:", name)
		switch {
		case value.Elems != nil || value.Kind == '*' && !value.Null:
			streamTree(b, value, common, near)
		case value.Kind == ':':
			fmt.Fprintf(b, "%d ", value.Int)
		default:
			fmt.Fprintf(b, "%q ", value.Str)
		}
	}
}

func mapName(first []byte) bool {
	return bytes.Equal(first, []byte("length")) || bytes.Equal(first, []byte("name"))
}

// differs says how two states differ, or "". within is for times that depend on when a command ran.
func (s keyState) differs(o keyState, sameClock bool, within int64) string {
	if s.text != o.text {
		return fmt.Sprintf("value\n\tprimary   %s\n\tsecondary %s", s.text, o.text)
	}
	clock := int64(0)
	if !sameClock {
		clock = nearTime
	}
	if !isNear(s.expires, o.expires, clock) {
		return fmt.Sprintf("expiry: primary %d, secondary %d", s.expires, o.expires)
	}
	if len(s.near) != len(o.near) {
		return fmt.Sprintf("times: primary %d, secondary %d", s.near, o.near)
	}
	for i := range s.near {
		if !isNear(s.near[i], o.near[i], within) {
			return fmt.Sprintf("time %d of the stream: primary %d, secondary %d", i, s.near[i], o.near[i])
		}
	}
	return ""
}

func isNear(a, b, within int64) bool {
	if a < 0 || b < 0 {
		return a == b
	}
	return a-b <= within && b-a <= within
}
