// Package moves says what a migration moves: which databases, which keys of them, and what number each database has on
// the target.
//
// A key that does not move lives on whichever instance is the primary. Commands on it go there as they are; it is never
// copied, nor are their effects sent to the secondary, and on neither side is it compared or removed. Databases are called
// by their numbers on the source, everywhere but on a connection to the target (instance.Number).
//
// The package knows rules and names; it keeps nothing of the keys that it is asked about, and does no I/O.
package moves

import (
	"fmt"
	"slices"
	"strings"

	"tandem/internal/glob"
)

// MaxDatabase is the highest number of a database that may be chosen: providers offer up to 16,384 of them.
const MaxDatabase = 16383

// Rules are what a user has chosen. The zero value moves everything.
type Rules struct {
	// Databases are those that move, by their numbers on the source. Empty: all.
	Databases []int
	// Include are the patterns of keys that move, as for KEYS; one that matches is enough. Empty: all.
	Include []string
	// Exclude are the patterns of keys that do not move, though they are included.
	Exclude []string
}

// Filter answers for Rules. A nil Filter moves everything. It is immutable and safe for concurrent use.
type Filter struct {
	all       bool // databases
	databases []bool
	include   []pattern
	exclude   []pattern
}

// pattern is one for names; most are a prefix and a star.
type pattern struct {
	text   string
	prefix string
	simple bool // the text is the prefix and a star
}

// New returns the filter of some rules; nil if everything moves.
func New(r Rules) *Filter {
	if len(r.Databases) == 0 && len(r.Include) == 0 && len(r.Exclude) == 0 {
		return nil
	}
	f := &Filter{all: len(r.Databases) == 0, include: patterns(r.Include), exclude: patterns(r.Exclude)}
	for _, db := range r.Databases {
		if db < 0 || db > MaxDatabase {
			continue // there is none
		}
		if db >= len(f.databases) {
			f.databases = append(f.databases, make([]bool, db+1-len(f.databases))...)
		}
		f.databases[db] = true
	}
	return f
}

func patterns(texts []string) []pattern {
	var list []pattern
	for _, text := range texts {
		prefix, simple := strings.CutSuffix(text, "*")
		simple = simple && !strings.ContainsAny(prefix, `*?[\`)
		list = append(list, pattern{text: text, prefix: prefix, simple: simple})
	}
	return list
}

func match[T string | []byte](list []pattern, name T) bool {
	for i := range list {
		p := &list[i]
		if p.simple {
			if len(name) >= len(p.prefix) && string(name[:len(p.prefix)]) == p.prefix {
				return true
			}
		} else if glob.Match(p.text, name) {
			return true
		}
	}
	return false
}

func named[T string | []byte](f *Filter, name T) bool {
	return (len(f.include) == 0 || match(f.include, name)) && !match(f.exclude, name)
}

// Key reports whether a key moves.
func (f *Filter) Key(db int, name []byte) bool {
	return f == nil || f.Database(db) && named(f, name)
}

// KeyNamed is Key for a name that is a string.
func (f *Filter) KeyNamed(db int, name string) bool {
	return f == nil || f.Database(db) && named(f, name)
}

// Name reports whether keys of this name move in some database.
func (f *Filter) Name(name []byte) bool { return f == nil || named(f, name) }

// Database reports whether keys of a database move.
func (f *Filter) Database(db int) bool {
	return f == nil || f.all || db >= 0 && db < len(f.databases) && f.databases[db]
}

// Whole reports whether all keys of a database move.
func (f *Filter) Whole(db int) bool {
	return f == nil || f.Database(db) && len(f.include) == 0 && len(f.exclude) == 0
}

// ByName reports whether keys are left out for their names.
func (f *Filter) ByName() bool { return f != nil && (len(f.include) > 0 || len(f.exclude) > 0) }

// Canonical is a text of rules and numbers that is the same if and only if the same keys move to the same places.
func Canonical(r Rules, numbers map[int]int) string {
	if New(r) == nil && len(numbers) == 0 {
		return ""
	}
	var b strings.Builder
	list := func(name string, texts []string) {
		texts = slices.Clone(texts)
		slices.Sort(texts)
		for _, text := range slices.Compact(texts) {
			fmt.Fprintf(&b, "%s %q\n", name, text)
		}
	}
	dbs := slices.Clone(r.Databases)
	slices.Sort(dbs)
	for _, db := range slices.Compact(dbs) {
		fmt.Fprintf(&b, "database %d\n", db)
	}
	list("include", r.Include)
	list("exclude", r.Exclude)
	var from []int
	for db := range numbers {
		from = append(from, db)
	}
	slices.Sort(from)
	for _, db := range from {
		fmt.Fprintf(&b, "map %d %d\n", db, numbers[db])
	}
	return b.String()
}
