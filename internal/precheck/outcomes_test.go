package precheck

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode"

	"go.uber.org/goleak"

	"tandem/internal/instance"
	"tandem/internal/redisd/redisdtest"
)

// Every outcome of every item is tried on real servers, and every remedy is: the suite fails when one is not. What the code
// can say is read from its source (the calls of success, warning and failed that a check leads to), so nobody has to keep a list;
// what the tests have seen is what they recorded by expect, otherwise, saw and cured. What cannot be had is in untried and
// uncured, with the reason.

// untried are outcomes that no test provokes, and why.
var untried = map[string]string{
	"state_directory failed: write another state_dir":       "a process without a working directory runs no tests",
	"state_directory warning: see to it that there is room": "there is no file system that tells of no room",
	"state_directory failed: ...: ... are free":             "it takes a disk of that size (roomFor is tried)",
	"state_directory warning: ...: ... are free":            "it takes a disk of that size (roomFor is tried)",
}

// uncured are outcomes whose remedy no test applies, and why.
var uncured = map[string]string{
	"scripts warning: clients may call loaded scripts by hash (there are ...), and the server does not show their sources": "what " +
		"clients have loaded on both servers since is still in the source's count: the warning is accepted",
}

// outcome is one statement that makes a finding, as it is reached by one item.
type outcome struct {
	item, status, at string
	// text is how it is named here: the item, the status, and what it says as it stands in the source.
	text, todo string
	// found and remedy match what it says, and literal is how many characters of that are given.
	found, remedy *regexp.Regexp
	literal       int
}

// recorded is what the tests have seen, and what they have cured.
var recorded struct {
	sync.Mutex
	seen, cured []Item
}

func record(item Item, cured bool) {
	recorded.Lock()
	defer recorded.Unlock()
	recorded.seen = append(recorded.seen, item)
	if cured {
		recorded.cured = append(recorded.cured, item)
	}
}

// saw records a finding of a check that a test has made by itself, on real servers.
func saw(name string, f finding) {
	record(Item{Name: name, Status: f.status, Found: f.found, Remedy: f.remedy}, false)
}

// cured says that items of the report before are successes now, by what their remedies say.
func (r *Report) cured(t *testing.T, before *Report, names ...string) {
	t.Helper()
	for _, name := range names {
		was := before.item(t, name)
		if was.Status == Success {
			t.Errorf("%s had nothing to cure: %s", name, was.Found)
		}
		r.expect(t, name, Success)
		if r.item(t, name).Status == Success {
			record(was, true)
		}
	}
}

// allServers says that this machine has the servers that the outcomes take.
var allServers bool

// suite is all tests of the package, and what they must have seen when they have ended.
type suite struct{ *testing.M }

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

func (s suite) Run() int {
	code := s.M.Run()
	for _, part := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(part).Value.String() != "" {
			return code // a part of the tests sees a part of the outcomes
		}
	}
	if code != 0 || runtime.GOOS != "linux" || !allServers {
		return code
	}
	lacks, err := unseen(recorded.seen, recorded.cured)
	if err != nil {
		lacks = append(lacks, err.Error())
	}
	for _, text := range lacks {
		fmt.Fprintln(os.Stderr, text)
	}
	if len(lacks) > 0 {
		return 1
	}
	return code
}

// unseen says what of the code's outcomes no test has seen or cured, and what of the exceptions is none.
func unseen(items, mended []Item) (lacks []string, err error) {
	outcomes, err := outcomesOf(".")
	if err != nil {
		return nil, err
	}
	seen, cured, sides := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, item := range items {
		sides[item.Name+" "+item.Status] = true
		if o := which(outcomes, item); o != nil {
			seen[o.text] = true
		} else {
			lacks = append(lacks, fmt.Sprintf("no statement was found that makes %+v", item))
		}
	}
	for _, item := range mended {
		if o := which(outcomes, item); o != nil {
			cured[o.text] = true
		}
	}
	want := func(what string, is bool, reasons map[string]string, text, at string) {
		switch reason, excused := reasons[text]; {
		case !is && !excused:
			lacks = append(lacks, fmt.Sprintf("%s: no test has %s %q", at, what, text))
		case is && excused:
			lacks = append(lacks, fmt.Sprintf("%s: a test has %s %q, which is said to be impossible: %s", at, what, text, reason))
		}
	}
	known := map[string]bool{}
	for _, o := range outcomes {
		known[o.text] = true
		want("seen", seen[o.text], untried, o.text, o.at)
		if _, excused := untried[o.text]; o.status != Success && !excused {
			want("cured", cured[o.text], uncured, o.text, o.at)
		}
		for _, c := range checks {
			if c.name != o.item || !c.each || untried[o.text] != "" {
				continue
			}
			for _, side := range []string{"source_", "target_"} {
				text := side + o.item + " " + o.status
				known[text] = true
				want("seen", sides[text], untried, text, o.at)
			}
		}
	}
	for _, reasons := range []map[string]string{untried, uncured} {
		for _, text := range slices.Sorted(maps.Keys(reasons)) {
			if !known[text] {
				lacks = append(lacks, fmt.Sprintf("no outcome is %q, which is said not to be tried", text))
			}
		}
	}
	slices.Sort(lacks)
	return slices.Compact(lacks), nil
}

// which is the statement that made an item: of those that might have, the one that has most of its words.
func which(outcomes []outcome, item Item) *outcome {
	name, best := item.Name, (*outcome)(nil)
	for _, c := range checks {
		if c.each && (name == "source_"+c.name || name == "target_"+c.name) {
			name = c.name
			break
		}
	}
	for i := range outcomes {
		o := &outcomes[i]
		if o.item == name && o.status == item.Status && o.found.MatchString(item.Found) && o.remedy.MatchString(item.Remedy) &&
			(best == nil || o.literal > best.literal) {
			best = o
		}
	}
	return best
}

// outcomesOf reads them from the source of the package.
func outcomesOf(dir string) ([]outcome, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	positions := token.NewFileSet()
	functions := map[string][]*ast.FuncDecl{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, name, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				functions[f.Name.Name] = append(functions[f.Name.Name], f)
			}
		}
	}
	var all []outcome
	for _, c := range checks {
		name := runtime.FuncForPC(reflect.ValueOf(c.run).Pointer()).Name()
		name = name[strings.LastIndex(name, ".")+1:]
		reached := map[string]bool{}
		var follow func(name string)
		follow = func(name string) {
			if reached[name] {
				return
			}
			reached[name] = true
			for _, f := range functions[name] {
				ast.Inspect(f.Body, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					callee := ""
					switch f := call.Fun.(type) {
					case *ast.Ident:
						callee = f.Name
					case *ast.SelectorExpr:
						callee = f.Sel.Name
					}
					switch status := callee; status {
					case Success, Warning, Failed:
						all = append(all, newOutcome(c.name, status, positions.Position(call.Pos()).String(), call.Args))
					default:
						follow(callee)
					}
					return true
				})
			}
		}
		follow(name)
		if len(all) == 0 || all[len(all)-1].item != c.name {
			return nil, fmt.Errorf("no outcome of %s was found in the source", c.name)
		}
	}
	for i := range all { // two that say the same are told apart by what they say to do
		for j := range all[:i] {
			if all[i].text == all[j].text && all[i].at != all[j].at && !strings.Contains(all[i].text, all[i].todo) {
				all[i].text += "; " + all[i].todo
			}
		}
	}
	return all, nil
}

// newOutcome takes what a statement says from its arguments.
func newOutcome(item, status, at string, args []ast.Expr) outcome {
	o := outcome{item: item, status: status, at: at}
	remedy := ""
	if status != Success {
		remedy, args = written(args[0], false), args[1:]
	}
	found := written(args[0], true)
	says := found
	if !strings.ContainsFunc(given(found), unicode.IsLetter) {
		says = remedy
	}
	o.todo = strings.ReplaceAll(remedy, anything, "...")
	o.text = item + " " + status + ": " + strings.ReplaceAll(says, anything, "...")
	o.found, o.remedy = pattern(found), pattern(remedy)
	o.literal = len(given(found)) + len(given(remedy))
	return o
}

// anything stands for what a statement puts in.
const anything = "\x00"

var verb = regexp.MustCompile(`%[a-z]`)

// written is the text of an expression, as far as it is given. format says that it is one.
func written(e ast.Expr, format bool) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			if format {
				text = strings.ReplaceAll(verb.ReplaceAllString(text, anything), "%%", "%")
			}
			return text
		}
	case *ast.BinaryExpr:
		return written(e.X, format) + written(e.Y, format)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return written(e.Args[0], true)
		}
	}
	return anything
}

func given(text string) string { return strings.ReplaceAll(text, anything, "") }

func pattern(text string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(text), anything, ".*") + "$")
}

// The outcomes are found in the source and told from each other, and what no test has seen or cured is named.
func TestOutcomesAreReadAndMissed(t *testing.T) {
	_, allServers = redisdtest.Find(t, "redis-6.0", "redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1")
	outcomes, err := outcomesOf(".")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, o := range outcomes {
		if o.item == "eviction" {
			texts = append(texts, o.text)
		}
	}
	want := []string{"eviction warning: the server does not tell its policy", "eviction success: noeviction",
		"eviction success: ..., but without a maxmemory, so nothing is evicted", "eviction warning: ... at ..."}
	if !slices.Equal(texts, want) {
		t.Errorf("of eviction: %q, want %q", texts, want)
	}
	set := Item{Name: "source_eviction", Status: Warning, Found: "allkeys-lru at 1.0 MiB", Remedy: eviction(t.Context(), nil, &side{info: instance.Facts{
		MaxMemoryPolicy: "allkeys-lru", MaxMemory: 1 << 20}}).remedy}
	strange := Item{Name: "clocks", Status: Warning, Found: "nobody says that", Remedy: "nor that"}
	if o := which(outcomes, set); o == nil || o.text != want[3] || which(outcomes, strange) != nil {
		t.Errorf("%+v is taken for %+v", set, o)
	}
	lacks, err := unseen([]Item{set, strange}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(lacks, "\n")
	for text, is := range map[string]bool{
		`no test has seen "eviction success: noeviction"`:         true,
		`no test has seen "eviction warning: ... at ..."`:         false,
		`no test has cured "eviction warning: ... at ..."`:        true,
		`no test has seen "source_eviction warning"`:              false,
		`no test has seen "target_eviction warning"`:              true,
		`no statement was found that makes {Name:clocks`:          true,
		`no test has seen "state_directory failed: write another`: false,
	} {
		if strings.Contains(all, text) != is {
			t.Errorf("that it says %q is %t, want %t:\n%s", text, !is, is, all)
		}
	}
}
