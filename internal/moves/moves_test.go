package moves

import "testing"

func TestWhatMoves(t *testing.T) {
	for name, x := range map[string]struct {
		rules       Rules
		moves, stay []string // of database 0, or n:key
	}{
		"everything":         {Rules{}, []string{"", "a", "7:a"}, nil},
		"databases":          {Rules{Databases: []int{0, 3}}, []string{"a", "3:a"}, []string{"1:a", "16:a"}},
		"prefixes":           {Rules{Include: []string{"user:*", "cart:*"}}, []string{"user:", "user:1", "9:cart:x"}, []string{"", "use", "auser:1"}},
		"patterns":           {Rules{Include: []string{"u?er:[0-9]*", `\*x`}}, []string{"uXer:7", "*x"}, []string{"user:x", "ax", "uer:1"}},
		"excluded":           {Rules{Exclude: []string{"tmp:*", "x"}}, []string{"", "tmp", "xx"}, []string{"tmp:", "tmp:a", "x"}},
		"included, excluded": {Rules{Include: []string{"a*"}, Exclude: []string{"ab*"}}, []string{"a", "ac"}, []string{"ab", "abc", "b"}},
		"all of it":          {Rules{Databases: []int{1}, Include: []string{"a*"}}, []string{"1:ab"}, []string{"ab", "1:b"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := New(x.rules)
			check := func(key string, want bool) {
				t.Helper()
				db := 0
				if len(key) > 1 && key[1] == ':' {
					db, key = int(key[0]-'0'), key[2:]
				} else if len(key) > 2 && key[2] == ':' {
					db, key = int(key[0]-'0')*10+int(key[1]-'0'), key[3:]
				}
				if got := f.Key(db, []byte(key)); got != want {
					t.Errorf("%q of database %d moves: %v", key, db, got)
				}
				if f.KeyNamed(db, key) != f.Key(db, []byte(key)) {
					t.Errorf("%q is another key as a string", key)
				}
				if f.Key(db, []byte(key)) && !(f.Database(db) && f.Name([]byte(key))) {
					t.Errorf("%q moves, and its database or name does not", key)
				}
			}
			for _, key := range x.moves {
				check(key, true)
			}
			for _, key := range x.stay {
				check(key, false)
			}
			if f.Whole(0) && len(x.rules.Include)+len(x.rules.Exclude) > 0 {
				t.Error("a database of which keys stay is whole")
			}
		})
	}
}

// What a restart compares is the same for the same choice, however it is written, and another for another.
func TestCanonical(t *testing.T) {
	same := Canonical(Rules{Databases: []int{3, 0, 3}, Exclude: []string{"b", "a"}}, map[int]int{3: 1, 0: 2})
	if again := Canonical(Rules{Databases: []int{0, 3}, Exclude: []string{"a", "b", "a"}}, map[int]int{0: 2, 3: 1}); again != same {
		t.Errorf("%q is not %q", again, same)
	}
	for _, other := range []string{
		Canonical(Rules{}, nil),
		Canonical(Rules{Databases: []int{0, 3}, Include: []string{"a", "b"}}, map[int]int{0: 2, 3: 1}),
		Canonical(Rules{Databases: []int{0, 3}, Exclude: []string{"a\nexclude \"b\""}}, map[int]int{0: 2, 3: 1}),
		Canonical(Rules{Databases: []int{0, 3}, Exclude: []string{"a", "b"}}, map[int]int{0: 2, 3: 4}),
		Canonical(Rules{Exclude: []string{"a", "b"}}, nil),
	} {
		if other == same {
			t.Errorf("%q is for another choice, too", same)
		}
	}
	if Canonical(Rules{}, nil) != "" {
		t.Error("everything is not said by nothing")
	}
}

// The hot path asks for each key.
func TestAskingAllocatesNothing(t *testing.T) {
	f := New(Rules{Include: []string{"user:*", "c[ab]*t"}, Exclude: []string{"user:tmp:*"}})
	name := []byte("user:1234567890")
	if n := testing.AllocsPerRun(100, func() { f.Key(0, name) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
