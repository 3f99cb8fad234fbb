package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Input is what Load reads besides the environment.
type Input struct {
	// File is the path of a .yaml, .yml or .toml file; empty for none.
	File string
	// Flags holds, by key, the flags that set a key. Those not given on the command line do not count.
	Flags map[string]*pflag.Flag
}

// Load reads the configuration: flags before environment before file before defaults.
//
// When something is wrong, the error is an *Error with all that is, and the Config holds what could be
// read, so that it can be shown; it is not to be used otherwise.
func Load(in Input) (*Config, error) {
	l := &loader{in: in, viper: viper.New(), config: new(Config)}
	l.settings = settings(l.config)
	l.readFile()
	l.readEnvironment()
	for _, s := range l.settings {
		l.take(s)
	}
	for _, p := range validate(l.config, l.unread) {
		if !l.fileLost || p.Wrong != notSet { // it may stand in the file that could not be read
			l.problems = append(l.problems, p)
		}
	}
	for i, p := range l.problems {
		if p.Origin == "" {
			l.problems[i].Origin = l.origin(p.Key)
		}
	}
	if len(l.problems) > 0 {
		return l.config, &Error{Problems: l.problems}
	}
	return l.config, nil
}

// loader is one Load. viper holds the layers and their order; what is known and what is allowed is ours.
type loader struct {
	in       Input
	viper    *viper.Viper
	config   *Config
	settings []setting
	file     map[string]any // the file's values, by key
	unread   map[string]bool
	fileLost bool // it could not be read: what is set there nobody knows
	problems []Problem
}

// take sets one field to the value of the highest layer that has one.
func (l *loader) take(s setting) {
	l.viper.SetDefault(s.key, s.def)
	// BindEnv and BindPFlag fail only without a name or a flag.
	_ = l.viper.BindEnv(append([]string{s.key}, s.variables()...)...)
	if f := l.in.Flags[s.key]; f != nil {
		_ = l.viper.BindPFlag(s.key, f)
	}
	value := l.viper.Get(s.key)
	if _, ok := value.(listInFile); ok {
		value = l.file[s.key]
	}
	if s.isList() {
		if err := s.setList(value); err != nil {
			l.fail(s, value, err.Error(), s.form())
		}
		return
	}
	if wrong, do := s.check(value); wrong != "" {
		l.fail(s, value, wrong, do)
		return
	}
	if err := s.set(fmt.Sprint(value)); err != nil {
		l.fail(s, value, err.Error(), s.form())
	}
}

// fail notes a value that could not be read; the field keeps its default.
func (l *loader) fail(s setting, value any, wrong, do string) {
	shown := ""
	if !s.secret() {
		shown = fmt.Sprint(value)
	}
	l.problems = append(l.problems, Problem{Key: s.key, Value: shown, Wrong: wrong, Do: do})
	if l.unread == nil {
		l.unread = make(map[string]bool)
	}
	l.unread[s.key] = true
	if s.def != "" {
		_ = s.set(s.def)
	}
}

// origin says which layer a key's value comes from; empty for the default.
func (l *loader) origin(key string) string {
	if f := l.in.Flags[key]; f != nil && f.Changed {
		return "flag --" + f.Name
	}
	for _, s := range l.settings {
		if s.key != key {
			continue
		}
		if v := s.variablesSet(); len(v) > 0 {
			return "environment " + v[0]
		}
	}
	if _, ok := l.file[key]; ok {
		return "file " + l.in.File
	}
	return ""
}

// nearest returns the known name that the unknown one is probably meant to be, or "".
func nearest(name string, known []string) string {
	best, least := "", 1+len(name)/4
	for _, k := range known {
		if strings.HasSuffix(k, "."+name) {
			return k
		}
		if d := distance(name, k); d <= least {
			best, least = k, d-1
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
