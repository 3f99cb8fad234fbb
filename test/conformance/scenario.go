package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Scenario is a conversation of one or several sessions. Its text is a heading and a line per step:
//
//	== a list is popped by those who wait, in the order of their coming
//	RPUSH l one two             a command of the session without a name, in the protocol of the run
//	GET l | LLEN l              several, written at once
//	~unordered SMEMBERS s       how the replies are compared (see Mark); without it, byte for byte
//	id = XADD s * f v           later $id in a request is what was answered, and it counts as equal in replies
//	a> SET k v                  a command of session a
//	b:3> HGETALL h              of session b, which speaks RESP3 in every run
//	b>> BLPOP none 0            sent, and not answered until it blocks on the server
//	b<                          one more reply or message
//	b< ~shape                   the same, compared so
//	b< until text               the first message that has the text in it; what comes before is passed over
//	b< closed                   the connection ends
//	close b                     the client ends it
//	raw "PING\r\n"              bytes as they are; their replies are received with <
//	until :0 EXISTS k           asked again until the reply begins so
//	switch                      the other server answers from here on, where a run can do that: a cutover or a rollback
//	--                          what stands above is there before the migration begins
//
// Words are separated by spaces; one with a space, a | or control characters is written "so", with Go's
// escapes. Behind a heading, [alone], [slow] and [needs COMMAND] set the fields of those names. Text from a # that begins a word to the end of the line is a comment. Names of commands are upper case,
// those of other steps lower case.
type Scenario struct {
	// File is the text's, without directory; Name its heading.
	File, Name string
	// Alone: it concerns more than its own database, so everything is flushed before it.
	Alone bool
	// Slow: a server works on it for a third of a second or more; only the full size has the time.
	Slow bool
	// Needs is a command without which it makes no sense, as where something is waited for.
	Needs string
	Steps []Step
	// Given is how many of the steps stand above the line "--"; 0 when there is no such line.
	Given int
}

// ID names a scenario in messages.
func (s *Scenario) ID() string { return s.File + ": " + s.Name }

// BothProtocols reports whether the run's protocol makes a difference: some session does not pin its own.
func (s *Scenario) BothProtocols() bool {
	pinned := map[string]bool{}
	for _, step := range s.Steps {
		pinned[step.Session] = pinned[step.Session] || step.Protocol != 0
	}
	for _, p := range pinned {
		if !p {
			return true
		}
	}
	return false
}

// scripting are the commands that execute scripts or keep them.
var scripting = []string{"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "FUNCTION", "SCRIPT"}

// HasScripts reports whether scripts are among what is asked.
func (s *Scenario) HasScripts() bool {
	return slices.ContainsFunc(s.Steps, func(step Step) bool {
		return slices.ContainsFunc(step.Commands, func(c []string) bool { return slices.Contains(scripting, c[0]) })
	})
}

// Action is what a step does.
type Action uint8

const (
	// Ask sends the step's commands and receives a reply for each.
	Ask Action = iota
	// Block sends a command and waits until the server counts one client more that is blocked.
	Block
	// Receive takes one more reply or message.
	Receive
	// Closed waits for the end of the connection; Close makes it.
	Closed
	Close
	// Raw sends bytes.
	Raw
	// Until asks until the reply begins with the prefix.
	Until
	// Switch has the other server answer.
	Switch
)

// Step is one line.
type Step struct {
	// Session is its name, mostly empty; Protocol is 2 or 3 if the line pins it, else 0.
	Session  string
	Protocol int
	Action   Action
	// Commands are what Ask, Block and Until send.
	Commands [][]string
	// Mark says how the replies are compared.
	Mark Mark
	// Capture is the name that the reply gets; empty: none.
	Capture string
	// Text is the bytes of Raw, the prefix of Until, what Receive waits for.
	Text string
	// Line is the step's text as it stands in the file.
	Line string
}

// Load reads all scenarios of a directory, in order of their files' names.
func Load(dir fs.FS) ([]*Scenario, error) {
	var all []*Scenario
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") {
			return err
		}
		text, err := fs.ReadFile(dir, path)
		if err != nil {
			return err
		}
		of, err := Parse(strings.TrimSuffix(path, ".txt"), string(text))
		all = append(all, of...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	seen := map[string]bool{}
	for _, s := range all {
		if seen[s.ID()] {
			return nil, fmt.Errorf("two scenarios are called %s", s.ID())
		}
		seen[s.ID()] = true
	}
	return all, nil
}

// Parse reads the scenarios of one file.
func Parse(file, text string) ([]*Scenario, error) {
	var all []*Scenario
	var errs []error
	number := 0
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		number++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if heading, ok := strings.CutPrefix(line, "== "); ok {
			all = append(all, parseHeading(file, heading))
			continue
		}
		if len(all) == 0 {
			errs = append(errs, fmt.Errorf("%s.txt:%d: a step before the first heading", file, number))
			continue
		}
		s := all[len(all)-1]
		if line == "--" {
			s.Given = len(s.Steps)
			continue
		}
		step, err := parseStep(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.txt:%d: %w", file, number, err))
			continue
		}
		s.Steps = append(s.Steps, step)
	}
	return all, errors.Join(errs...)
}

// parseHeading reads a name and what stands in brackets behind it.
func parseHeading(file, heading string) *Scenario {
	s := &Scenario{File: file}
	words := strings.Split(heading, " [")
	s.Name = strings.TrimSpace(words[0])
	for _, option := range words[1:] {
		option = strings.TrimSuffix(option, "]")
		s.Alone = s.Alone || option == "alone"
		s.Slow = s.Slow || option == "slow"
		if needs, ok := strings.CutPrefix(option, "needs "); ok {
			s.Needs = needs
		}
	}
	return s
}

// parseStep reads one line: [session[:protocol]]>|>>|< [~mark] [name =] words.
func parseStep(line string) (Step, error) {
	step := Step{Line: line}
	words, err := split(line)
	if err != nil {
		return step, err
	}
	if len(words) == 0 {
		return step, errors.New("nothing in this line")
	}
	if rest, found := step.takeSession(words[0]); found {
		words = words[1:]
		if rest == "<" {
			step.Action = Receive
		} else if rest == ">>" {
			step.Action = Block
		}
	}
	if step.Action == Receive && len(words) == 1 && words[0].text == "closed" {
		step.Action = Closed
		return step, nil
	}
	if len(words) > 0 && strings.HasPrefix(words[0].text, "~") && !words[0].quoted {
		if step.Mark, err = parseMark(words[0].text[1:]); err != nil {
			return step, err
		}
		words = words[1:]
	}
	if len(words) > 2 && words[1].text == "=" && !words[1].quoted {
		step.Capture = words[0].text
		words = words[2:]
	}
	if step.Action == Receive {
		if len(words) == 2 && words[0].text == "until" {
			step.Text = words[1].text
			return step, nil
		}
		if len(words) > 0 {
			return step, fmt.Errorf("%q behind <", words[0].text)
		}
		return step, nil
	}
	return step, step.takeWords(words)
}

// takeSession reads "a>", "a:3>", "a>>" or "a<".
func (step *Step) takeSession(word token) (arrow string, found bool) {
	if word.quoted {
		return "", false
	}
	for _, arrow := range []string{">>", ">", "<"} {
		name, ok := strings.CutSuffix(word.text, arrow)
		if !ok {
			continue
		}
		if name != strings.ToLower(name) {
			return "", false
		}
		if n, ok := strings.CutSuffix(name, ":2"); ok {
			name, step.Protocol = n, 2
		} else if n, ok := strings.CutSuffix(name, ":3"); ok {
			name, step.Protocol = n, 3
		}
		step.Session = name
		return arrow, true
	}
	return "", false
}

func (step *Step) takeWords(words []token) error {
	switch {
	case len(words) == 0:
		return errors.New("a step without words")
	case words[0].text == "switch" && len(words) == 1:
		step.Action = Switch
		return nil
	case words[0].text == "raw" && len(words) == 2:
		step.Action, step.Text = Raw, words[1].text
		return nil
	case words[0].text == "close" && len(words) == 2:
		step.Action, step.Session = Close, words[1].text
		return nil
	case words[0].text == "until" && len(words) > 2:
		step.Action, step.Text = Until, words[1].text
		words = words[2:]
	}
	command := []string{}
	for _, w := range words {
		if w.text == "|" && !w.quoted {
			step.Commands = append(step.Commands, command)
			command = []string{}
			continue
		}
		command = append(command, w.text)
	}
	step.Commands = append(step.Commands, command)
	if slices.ContainsFunc(step.Commands, func(c []string) bool { return len(c) == 0 }) {
		return errors.New("a | without a command beside it")
	}
	if step.Action != Ask && len(step.Commands) > 1 {
		return errors.New("only one command can be waited for")
	}
	if name := step.Commands[0][0]; strings.ToUpper(name) != name && step.Text == "" && !words[0].quoted {
		return fmt.Errorf("%q is neither a command, in upper case, nor another step", name)
	}
	return nil
}
