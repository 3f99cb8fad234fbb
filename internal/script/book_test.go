package script

import (
	"fmt"
	"strings"
	"testing"
)

func TestABookKnowsScriptsByTheirNames(t *testing.T) {
	b := NewBook(1 << 20)
	s := b.Run([]byte("return redis.call('GET', KEYS[1])"))
	if s.Facts.Writes || s.Kept() {
		t.Errorf("%+v, kept %v", s.Facts, s.Kept())
	}
	for _, name := range []string{s.Name, strings.ToUpper(s.Name)} {
		if b.Named([]byte(name)) != s {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"", "x", strings.Repeat("0", 40), s.Name + "0"} {
		if b.Named([]byte(name)) != nil {
			t.Errorf("%q is known", name)
		}
	}
	if again := b.Run([]byte(s.Source)); again != s || !s.Kept() || len(b.Kept()) != 1 {
		t.Errorf("a second run: another %v, kept %v", again != s, s.Kept())
	}
	if loaded := b.Loaded([]byte("return 1")); !loaded.Kept() || len(b.Kept()) != 2 {
		t.Error("a script that was loaded is not kept")
	}
}

func TestABooksMemoryIsBounded(t *testing.T) {
	const limit = 100 << 10
	b := NewBook(limit)
	often := b.Loaded([]byte("return 'often'"))
	for i := range 10000 {
		b.Run(fmt.Appendf(nil, "return %d --%s", i, strings.Repeat("x", i%1000)))
		if b.size > limit || len(b.byName) != len(b.bySource) || len(b.byName) != b.recent.Len() {
			t.Fatalf("after %d scripts: %d bytes, %d by name, %d by source, %d in order", i, b.size, len(b.byName),
				len(b.bySource), b.recent.Len())
		}
		if b.Named([]byte(often.Name)) != often {
			t.Fatalf("after %d scripts one that is used is forgotten", i)
		}
	}
	if huge := b.Run(make([]byte, limit)); huge == nil || b.Named([]byte(huge.Name)) != nil {
		t.Error("a script that is larger than the book is in it")
	}
}

func TestARecordSpeaksAgainstRepeatingWhenItOftenFails(t *testing.T) {
	var r Record
	for range enoughBad - 1 {
		r.Went(false)
	}
	if r.Fails() {
		t.Error("a few failures are enough")
	}
	r.Went(false)
	if !r.Fails() {
		t.Error("many failures are not enough")
	}
	for range oftenBad * enoughBad {
		r.Went(true)
	}
	if r.Fails() {
		t.Error("few failures among many repetitions speak against it")
	}
}

func TestAShelfKnowsFunctionsInAnyCase(t *testing.T) {
	s := NewShelf([][]byte{
		[]byte("#!lua name=a\nredis.register_function('Push', function(keys, args) redis.call('LPUSH', keys[1], args[1]) end)"),
		[]byte("no library"),
	})
	for _, name := range []string{"Push", "push", "PUSH"} {
		if f := s.Function([]byte(name)); f == nil || !f.Facts.Repeats {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if s.Function([]byte("pop")) != nil || (*Shelf)(nil).Function([]byte("push")) != nil {
		t.Error("a function that there is not is known")
	}
}
