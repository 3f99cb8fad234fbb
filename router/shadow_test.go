package router

import "testing"

// Each of them is a read of the table that names its keys.
func TestShadowsAreReadsWithKeys(t *testing.T) {
	samples := map[string][]string{
		"MGET": {"MGET", "a", "b"}, "SINTERCARD": {"SINTERCARD", "2", "a", "b"}, "ZINTERCARD": {"ZINTERCARD", "1", "a"},
	}
	for name := range shadows {
		args := samples[name]
		if args == nil {
			args = []string{name, "key", "1", "1", "1"}
		}
		words := make([][]byte, len(args))
		for i, a := range args {
			words[i] = []byte(a)
		}
		c := Lookup(words)
		if c == nil || c.Name != name || c.Class != Read {
			t.Errorf("%s is no read of the table", name)
			continue
		}
		for n := 2; n <= len(words); n++ { // of the arities that it may have
			if !c.arityOK(n) {
				continue
			}
			if keys, ok := c.AppendKeys(nil, words[:n]); ok && len(keys) > 0 {
				break
			} else if n == len(words) {
				t.Errorf("%s: no keys", name)
			}
		}
		if _, ok := c.Shadow(); !ok {
			t.Errorf("%s is not to be had", name)
		}
	}
	for _, args := range [][]string{{"TTL", "a"}, {"SET", "a", "b"}, {"RANDOMKEY"}, {"SRANDMEMBER", "a"}, {"HSCAN", "a", "0"}, {"OBJECT", "IDLETIME", "a"}, {"DBSIZE"}} {
		words := make([][]byte, len(args))
		for i, a := range args {
			words[i] = []byte(a)
		}
		if c := Lookup(words); c != nil {
			if _, ok := c.Shadow(); ok {
				t.Errorf("%s is to be had", args[0])
			}
		}
	}
}
