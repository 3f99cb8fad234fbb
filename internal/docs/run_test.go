package docs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a reader is told to type is typed: a block of commands whose fence says so is run by TestCommandsRun, on real servers,
// in the order of its page. The fence says, where a page shows only the language:
//
//	```sh run stage=pair       on which of stages; the ones behind it go on there
//	```sh run                  each command must end with status 0
//	```sh run status=3         the last one with that
//	```sh run after=ctrl-c     what was left running is ended first, as a reader would end it
//	```yaml run file=PATH      the block is that file from there on
//
// `tandem serve` and a benchmark without an end go on while the page does; `tandem status --watch` is looked at until both servers
// hold the same. A block of text directly behind a block that was run is what it prints: each line must be among the output,
// whatever its numbers are. "varies" on its fence says that there is a reason why it is not.
//
// Any other block of commands needs a reason in notRun.

// notRun are the blocks that no test runs, by page and first line, and why.
var notRun = map[string]map[string]string{
	"docs/getting-started.md": {
		"make build": "the tests have built the program",
	},
	"docs/guide-security.md": {
		"umask 077; openssl rand -hex 32 > token-alice": "makes a secret",
	},
	"docs/performance.md": {
		"make bench-micro COUNT=10 >new.txt": "takes half an hour; what it runs are benchmarks that are compiled with the tests",
	},
	"docs/guide-watch.md": {
		"tandem status --watch": "needs a terminal: cmd/tandem tests it on one",
	},
	"docs/guide-dashboard.md": {
		"ssh -L 6390:127.0.0.1:6390 tandem-host": "needs another machine",
	},
	"README.md": {
		"make demo": "the demo is tested by its own package",
	},
	"docs/guide-repoint.md": {
		"kubectl expose service redis --name redis-old --port 6379 --target-port 6379": "needs a cluster of Kubernetes",
		"kubectl patch service redis --type json -p '[":                                "the same",
	},
	"docs/guide-migrate.md": {
		"redis-cli -h old.internal CLIENT LIST | grep -v -e ' name=tandem' -e 'cmd=client|list'": "shows somebody who has no place on the page's way; step 10 runs it",
		"tandem cutover --at 04:00 --within 30m":                                                 "it comes at night; package migration tests plans",
	},
	"docs/guide-install.md": {
		"make release                                  # dist/tandem_VERSION_amd64.deb, among others":         "test/deploy makes the package and installs it",
		"TANDEM_SOURCE=redis://tandem:a-long-secret@old.internal:6379":                                        "a file, and no commands; test/deploy starts the unit with one",
		"sudo bash -c 'set -a; . /etc/tandem/environment; tandem config check -c /etc/tandem/tandem.yaml'":    "the file that it reads stands above it on the page, and in no stage",
		"docker build --build-arg VERSION=$(git describe --tags --always) -t tandem .":                        "test/deploy builds what the Dockerfile builds; no test has a container engine",
		"TANDEM_ADMIN_TOKEN=$(openssl rand -hex 16) docker compose -f deploy/compose/compose.yaml up --build": "the same; test/deploy runs what the file says",
		"sudo systemctl restart tandem":               "test/deploy restarts the unit",
		"kubectl exec deploy/tandem -- tandem status": "needs a cluster of Kubernetes; test/deploy checks the manifests",
	},
}

// TestCommandsRun runs the pages beside each other: much of it is waiting.
func TestCommandsRun(t *testing.T) {
	for _, p := range pages(t) {
		blocks := p.blocks()
		if !slices.ContainsFunc(blocks, func(b block) bool { return b.run }) {
			continue
		}
		t.Run(strings.TrimSuffix(p.path, ".md"), func(t *testing.T) {
			t.Parallel()
			var s *stage
			var output func() string // of the last block that was run
			printedAt := 0           // where what it prints would stand
			for _, b := range blocks {
				if b.stage != "" {
					if s != nil {
						s.clear()
					}
					set := stages[b.stage]
					if set == nil {
						t.Fatalf("%s: there is no stage %s", p.at(b.at), b.stage)
					}
					s = set(t)
				}
				switch {
				case b.run && s == nil:
					t.Fatalf("%s: names no stage to be run on", p.at(b.at))
				case b.lang == "sh" && b.run:
					output, printedAt = s.run(b, p), b.end+2
				case b.lang == "yaml" && b.run:
					s.write(b)
				case b.lang == "text" && b.at == printedAt && !b.varies:
					s.compare(b, p, output)
				}
			}
			if s != nil {
				s.clear()
			}
		})
	}
}

// TestEveryCommandIsRun wants each block of commands to be run, or to have a reason, and each reason to have its block.
func TestEveryCommandIsRun(t *testing.T) {
	unused, runs := map[string]bool{}, 0
	for path, blocks := range notRun {
		for first := range blocks {
			unused[path+": "+first] = true
		}
	}
	for _, p := range pages(t) {
		if strings.HasPrefix(p.path, "docs/reference/") {
			continue // generated from the program, and TestCommandLinesAreRight parses its examples
		}
		for _, b := range p.blocks() {
			first, _, _ := strings.Cut(b.text, "\n")
			_, left := notRun[p.path][first]
			delete(unused, p.path+": "+first)
			switch {
			case b.run && left:
				t.Errorf("%s: is run, and has a reason not to be", p.at(b.at))
			case b.run:
				runs++
			case b.lang == "sh" && !left:
				t.Errorf("%s: is not run, and notRun has no reason: %s", p.at(b.at), first)
			}
		}
	}
	for block := range unused {
		t.Errorf("notRun has a reason for what is not there: %s", block)
	}
	if runs < 30 {
		t.Errorf("only %d blocks are run", runs)
	}
}

// block is a fenced one.
type block struct {
	lang, text string
	at, end    int // its first line, and the one of its closing fence
	run        bool
	varies     bool
	status     int    // that the last command must end with
	stage      string // that it begins, "" for the one that is there
	after      string // what happens before, "" or "ctrl-c"
	file       string // that it is
}

// blocks are a page's, in their order. What a fence says that no test understands is kept in lang, and found by that.
func (p page) blocks() (all []block) {
	for i := 0; i < len(p.lines); i++ {
		l := p.lines[i]
		if !l.first || l.code == "" {
			continue
		}
		b := block{lang: l.code, at: i}
		for _, word := range strings.Fields(l.info) {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "run":
				b.run = true
			case "varies":
				b.varies = true
			case "status":
				b.status, _ = strconv.Atoi(value)
			case "stage":
				b.stage = value
			case "after":
				b.after = value
			case "file":
				b.file = value
			default:
				b.lang += " " + word
			}
		}
		var lines []string
		indent := len(l.text) - len(strings.TrimLeft(l.text, " "))
		for ; i < len(p.lines) && p.lines[i].code != ""; i++ {
			text := p.lines[i].text
			lines = append(lines, text[min(indent, len(text)-len(strings.TrimLeft(text, " "))):])
		}
		b.text, b.end = strings.Join(lines, "\n"), i
		all = append(all, b)
	}
	return all
}

// commands are a block's lines, put together where they go on.
func (b block) commands() (all []string) {
	for _, c := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
		if c = strings.TrimSpace(c); c != "" && c[0] != '#' {
			all = append(all, c)
		}
	}
	return all
}

var (
	moment = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?`)
	bar    = regexp.MustCompile(`\[[#.-]+\]`)
	figure = regexp.MustCompile(`[0-9][0-9,.]*(?:(?:[nµm]?s|B|[KMG]iB)\b)?|\bunknown\b`)
	unit   = regexp.MustCompile(`0 (?:[nµm]?s|B|[KMG]iB)\b`)
)

// wordsOf takes a text apart, with each number, time and bar the same as any other.
func wordsOf(text string) []string {
	text = bar.ReplaceAllString(moment.ReplaceAllString(text, "now"), "[]")
	return strings.Fields(unit.ReplaceAllString(figure.ReplaceAllString(text, "0"), "0"))
}

// missing is the first line of what a page shows that is not in what was printed, wherever lines were broken.
func missing(shown, printed string) string {
	all := " " + strings.Join(wordsOf(printed), " ") + " "
	for _, l := range strings.Split(shown, "\n") {
		if words := wordsOf(l); l != "..." && !strings.Contains(all, " "+strings.Join(words, " ")+" ") && len(words) > 0 {
			return strconv.Quote(l)
		}
	}
	return ""
}

// TestWrongOutputIsFound tries the check itself.
func TestWrongOutputIsFound(t *testing.T) {
	const printed = "phase     synced: the source answers\n          12,345 of 86,475 keys, 1.5 s left\nlag  0.00 ms, 0 B\nnext  tandem verify\n"
	for shown, want := range map[string]bool{
		"phase     synced: the source answers\n...\nlag       110 ms, 2.5 MiB\nnext tandem verify": true,
		"1 of 2 keys, 13 ms left":              true,
		"phase     synced: the target answers": false,
		"lag 1 ms, 0 B left":                   false,
		"next  tandem verify, then finish":     false,
	} {
		if got := missing(shown, printed) == ""; got != want {
			t.Errorf("%q: found %v", shown, got)
		}
	}
}
