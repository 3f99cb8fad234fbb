package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tandem/internal/tlsconn/tlstest"
)

// TestCommandLinesAreRight parses every command line of tandem's that a page shows as the program would.
func TestCommandLinesAreRight(t *testing.T) {
	helps := helpTexts{}
	checked := 0
	for _, p := range pages(t) {
		for i, l := range p.lines {
			for _, words := range l.commandLines() {
				checked++
				if err := helps.check(words); err != nil {
					t.Errorf("%s: %s: %v", p.at(i), strings.Join(words, " "), err)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d command lines found", checked)
	}
}

// TestWrongCommandLinesAreFound tries the check itself.
func TestWrongCommandLinesAreFound(t *testing.T) {
	helps := helpTexts{}
	for _, wrong := range []string{
		"tandem swerve", "tandem status --wacth", "tandem status now", "tandem serve --source", "tandem serve --source --takeover",
		"tandem config chek", "tandem verify --mode quick", "tandem -c x", "tandem serve --takeover yes",
	} {
		found := line{text: "    " + wrong, code: "indented"}.commandLines()
		if len(found) != 1 {
			t.Fatalf("%s is not seen as a command line", wrong)
		}
		if err := helps.check(found[0]); err == nil {
			t.Errorf("%s passes", wrong)
		}
	}
	for text, want := range map[string]int{
		"$ FOO=1 sudo -u x tandem status; tandem verify | tail -1  # tandem": 2,
		"systemctl restart tandem": 0,
		"ExecStart=/usr/local/bin/tandem serve -c /etc/tandem/tandem.yaml": 1,
	} {
		if got := (line{text: text, code: "sh"}).commandLines(); len(got) != want {
			t.Errorf("%q: %d command lines, want %d", text, len(got), want)
		}
	}
}

var (
	separators = regexp.MustCompile(`&&|\|\||[|;]`)
	program    = regexp.MustCompile(`^(?:(?:/|\./)(?:.*/)?)?tandem$`)
)

// commandLines are the words of each tandem command on a line: in blocks of shell commands and units, and in
// prose. What a block of language text shows is output.
func (l line) commandLines() (all [][]string) {
	texts := l.spans()
	switch l.code {
	case "sh", "ini", "indented":
		text, _, _ := strings.Cut(l.text, " #")
		texts = []string{text}
	}
	for _, text := range separators.Split(strings.Join(texts, ";"), -1) {
		text, _, _ = strings.Cut(text, " > ")
		words := strings.Fields(text)
		for len(words) > 0 {
			words[0] = strings.TrimPrefix(words[0], "ExecStart=")
			if words[0] == "-u" && len(words) > 1 {
				words = words[2:]
			} else if words[0] == "$" || words[0] == "sudo" || strings.Contains(words[0], "=") {
				words = words[1:]
			} else {
				break
			}
		}
		if len(words) > 1 && program.MatchString(words[0]) {
			all = append(all, words)
		}
	}
	return all
}

// values are the words that a flag takes, where it takes few.
var values = map[string][]string{
	"mode":  {"full", "sample", "keys", "MODE"},
	"start": {"auto", "manual", "WHEN"},
}

// helpTexts are what the program says of each command's flags, by the command's words.
type helpTexts map[string]*flags

// flags says for each flag of a command whether it takes a value; nil is no such command.
type flags struct {
	byName map[string]bool
	subs   map[string]bool
}

// check tells what is wrong with a command line.
func (h helpTexts) check(words []string) error {
	path := []string{}
	known, err := h.of(path)
	if err != nil {
		return err
	}
	words = words[1:]
	for len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		if !known.subs[words[0]] {
			return fmt.Errorf("there is no %s", strings.Join(append(path, words[0]), " "))
		}
		path, words = append(path, words[0]), words[1:]
		if known, err = h.of(path); err != nil {
			return err
		}
	}
	for len(words) > 0 {
		name, value, hasValue := strings.Cut(words[0], "=")
		takes, ok := known.byName[strings.TrimLeft(name, "-")]
		if !ok || !strings.HasPrefix(name, "-") {
			return fmt.Errorf("%s is no flag of it", words[0])
		}
		words = words[1:]
		if !takes || hasValue {
			continue
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "-") {
			return fmt.Errorf("%s lacks its value", name)
		}
		value, words = words[0], words[1:]
		if few := values[strings.TrimLeft(name, "-")]; few != nil && !slices.Contains(few, value) {
			return fmt.Errorf("%s is no value of %s", value, name)
		}
	}
	return nil
}

var (
	flagLine = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([\w-]+)( \w+)?(?:  |$)`)
	subLine  = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)
)

// of asks the program.
func (h helpTexts) of(path []string) (*flags, error) {
	key := strings.Join(path, " ")
	if f := h[key]; f != nil {
		return f, nil
	}
	out, err := exec.Command(binary, append(slices.Clone(path), "--help")...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s --help: %w", key, err)
	}
	f := &flags{byName: map[string]bool{}, subs: map[string]bool{}}
	_, usage, ok := strings.Cut(string(out), "\nUsage:\n")
	if !ok {
		return nil, fmt.Errorf("%s --help has no usage:\n%s", key, out)
	}
	for _, m := range flagLine.FindAllStringSubmatch(usage, -1) {
		f.byName[m[2]] = m[3] != ""
		if m[1] != "" {
			f.byName[m[1]] = m[3] != ""
		}
	}
	for _, m := range subLine.FindAllStringSubmatch(usage, -1) {
		f.subs[m[1]] = true
	}
	if len(f.byName) == 0 {
		return nil, fmt.Errorf("%s --help shows no flags:\n%s", key, out)
	}
	h[key] = f
	return f, nil
}

// TestConfigurationFilesAreRight has the program check every file that a page shows.
func TestConfigurationFilesAreRight(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for i := 0; i < len(p.lines); i++ {
			if p.lines[i].code != "yaml" || !p.lines[i].first {
				continue
			}
			start, text := i, ""
			for ; i < len(p.lines) && p.lines[i].code == "yaml"; i++ {
				text += p.lines[i].text + "\n"
			}
			checked++
			if out, err := checkConfig(t, text); err != nil {
				t.Errorf("%s: %v: %s", p.at(start), err, out)
			}
		}
	}
	if checked == 0 {
		t.Error("no page shows a configuration file")
	}
	if _, err := checkConfig(t, "lissen: x\n"); err == nil {
		t.Error("a wrong file passes")
	}
}

// checkConfig runs tandem config check. What files leave out for the sake of brevity is given by flags.
func checkConfig(t *testing.T, text string) (out []byte, err error) {
	t.Helper()
	shown := shownFiles(t) + "/"
	text = strings.NewReplacer("/etc/tandem/", shown, "/var/log/tandem/", shown).Replace(text)
	file := filepath.Join(t.TempDir(), "tandem.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "config", "check", "-c", file)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TANDEM_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if !strings.Contains(text, "source:") {
		cmd.Args = append(cmd.Args, "--source", "redis://old.internal:6379")
	}
	if !strings.Contains(text, "target:") {
		cmd.Args = append(cmd.Args, "--target", "redis://new.internal:6379")
	}
	return cmd.CombinedOutput()
}

// shownFiles makes a directory with the files that the pages have under /etc/tandem.
func shownFiles(t *testing.T) (dir string) {
	t.Helper()
	ca := tlstest.NewCA(t, "the pages")
	authority, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, name := range []string{"tandem", "proxy"} {
		ca.IssueInto(t, tlstest.Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}, tlstest.Leaf{})
	}
	for name, content := range map[string][]byte{
		"ca.pem": authority, "source-ca.pem": authority, "clients-ca.pem": authority, "source-password": []byte("a password\n"), "target-password": []byte("a password\n"),
		"app-password": []byte("another\n"), "hook-secret": []byte("a secret of some length\n"),
		"token-alice": []byte("a-token-of-some-length-alices"), "token-deploy": []byte("a-token-of-some-length-deploys"),
		"token-prometheus": []byte("a-token-of-some-length-prometheus"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
