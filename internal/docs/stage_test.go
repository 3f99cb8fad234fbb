package docs

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/internal/tlsconn/tlstest"
)

// stages are what is there before the first command, by the name that a fence gives.
var stages = map[string]func(t *testing.T) *stage{
	"empty":        emptyStage,
	"pair":         pairStage,
	"synced":       syncedStage,
	"dead-source":  deadSourceStage,
	"empty-source": emptySourceStage,
	"managed":      managedStage,
}

// patience bounds one command, and one wait, on a machine that is busy.
const patience = 60 * time.Second

// printing bounds how long what goes on may take to print what a page shows.
const printing = 10 * time.Second

// stage is where the commands of a page are run: a directory, servers that have the names of the pages, and the service as
// systemd would run it. It owns all that it starts and what the commands leave running, and ends it with the test.
type stage struct {
	t       *testing.T
	dir     string
	there   *strings.Replacer // what a page calls something, and what it is here
	back    *strings.Replacer // the other way round, for what was printed
	env     []string
	admin   string
	left    []*process // what goes on while the page does
	service *process   // what systemctl has started, nil if nothing
}

// process is one that was left running.
type process struct {
	cmd    *exec.Cmd
	output printed.Text
	ended  chan struct{}
}

// emptyStage has no servers: the page starts them.
func emptyStage(t *testing.T) *stage {
	source, target := freeAddress(t), freeAddress(t)
	t.Cleanup(func() {
		for _, addr := range []string{source, target} { // a page that was not read to its end has not stopped them
			_, port, _ := net.SplitHostPort(addr)
			_ = exec.Command("redis-cli", "-p", port, "shutdown", "nosave").Run()
		}
	})
	return newStage(t, source, target)
}

// pairStage has an old server with some data and a new one without.
func pairStage(t *testing.T) *stage {
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	fill(t, source.Addr)
	return newStage(t, source.Addr, target.Addr)
}

// syncedStage has these, the program between them, and everything copied.
func syncedStage(t *testing.T) *stage {
	s := pairStage(t)
	s.write(block{file: "/etc/tandem/tandem.yaml", text: "source: {url: redis://old.internal:6379}\ntarget: {url: redis://new.internal:6379}"})
	s.command("sudo systemctl start tandem")
	s.command("tandem status --watch")
	return s
}

// deadSourceStage is the same, when the old server has gone.
func deadSourceStage(t *testing.T) *stage {
	s := syncedStage(t)
	s.command("redis-cli -h old.internal SHUTDOWN NOSAVE")
	s.until("the source is missed", s.service, func() bool { return strings.Contains(s.service.output.String(), "lane lost") })
	return s
}

// emptySourceStage has an old server that came back without its data, a new one that has it, and nothing between.
func emptySourceStage(t *testing.T) *stage {
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	fill(t, target.Addr)
	return newStage(t, source.Addr, target.Addr)
}

// managedStage has an old server as providers have it: with TLS and a token, and without the commands that they take away.
func managedStage(t *testing.T) *stage {
	ca := tlstest.NewCA(t, "the provider")
	addr := freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	args := ca.ServerArgs(ca.Issue(t, tlstest.Leaf{}), port, "no")
	for _, name := range []string{"CONFIG", "PSYNC", "SYNC", "REPLICAOF", "SLAVEOF", "REPLCONF", "MIGRATE", "FAILOVER", "DEBUG", "SAVE", "BGSAVE", "BGREWRITEAOF", "SHUTDOWN"} {
		args = append(args, "--rename-command", name, "")
	}
	source, target := redisdtest.Start(t, redisd.Options{Args: args, Password: "old-token"}), redisdtest.Start(t, redisd.Options{Password: "new-token"})
	s := newStage(t, addr, target.Addr)
	s.env = append(s.env, "SSL_CERT_FILE="+ca.File) // the authorities that the machine trusts
	for name, content := range map[string]string{"app-password": "old-token", "source-password": "old-token", "target-password": "new-token"} {
		s.write(block{file: "/etc/tandem/" + name, text: content})
	}
	if out, status := s.command(fmt.Sprintf("redis-cli -p %d -a old-token --no-auth-warning mset greeting hello cart:1 apples", source.Port)); status != 0 {
		t.Fatal(out())
	}
	return s
}

// fill writes a little of each of the common types.
func fill(t *testing.T, addr string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	for _, args := range [][]string{
		{"redis-benchmark", "-p", port, "-q", "-n", "2000", "-r", "2000", "-P", "16", "-t", "set,lpush,sadd,hset,zadd"},
		{"redis-cli", "-p", port, "mset", "greeting", "hello", "cart:1", "apples"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
}

func newStage(t *testing.T, source, target string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), admin: freeAddress(t)}
	listen := freeAddress(t)
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(bin, "tandem")); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"sudo": `exec "$@"`, "journalctl": `tail -n 50 "$SERVICE_LOG"`,
		// To a terminal redis-cli says of which type a reply is, to a program it does not. What is not piped goes to a file here.
		"redis-cli": `[ -f /dev/stdout ] && exec "$REDIS_CLI" --no-raw "$@"; exec "$REDIS_CLI" "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal(err)
	}
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	var there, back []string
	for _, of := range []struct{ name, addr, local, number string }{
		{"old", source, "127.0.0.1:7001", "7001"}, {"new", target, "127.0.0.1:7002", "7002"}, {"tandem", listen, "127.0.0.1:6380", "6380"},
	} {
		usual := "6379"
		if of.name == "tandem" {
			usual = "6380"
		}
		there = append(there, of.name+".internal:"+usual, of.addr, of.name+".internal "+usual, "127.0.0.1 "+port(of.addr), "@"+of.name+":"+usual, "@"+of.addr,
			"//"+of.name+":"+usual, "//"+of.addr, "-h "+of.name+".internal -p "+usual, "-h 127.0.0.1 -p "+port(of.addr),
			"-h "+of.name+".internal", "-h 127.0.0.1 -p "+port(of.addr), of.local, of.addr, "-p "+of.number, "-p "+port(of.addr), "--port "+of.number, "--port "+port(of.addr))
		if name := of.name + ".internal:" + usual; strings.HasSuffix(t.Name(), "getting-started") {
			back = append(back, of.addr, of.local)
		} else {
			back = append(back, of.addr, name)
		}
	}
	there = append(there, "10.0.0.20:6380", listen, "127.0.0.1:6390", s.admin, "/etc/tandem/", s.dir+"/", "/var/lib/tandem", filepath.Join(s.dir, "state"))
	s.there, s.back = strings.NewReplacer(there...), strings.NewReplacer(back...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TANDEM_") && !strings.HasPrefix(e, "PATH=") {
			s.env = append(s.env, e)
		}
	}
	s.env = append(s.env, "PATH="+bin+":"+os.Getenv("PATH"), "TANDEM_LISTEN="+listen, "TANDEM_ADMIN_LISTEN="+s.admin, "SERVICE_LOG="+filepath.Join(s.dir, "log"),
		"REDIS_CLI="+cli,
		"TANDEM_CUTOVER_MAX_PAUSE=20s", "TANDEM_CUTOVER_WAIT=40s") // on a machine that is busy none is undone
	t.Cleanup(s.clear)
	return s
}

// clear ends what is left.
func (s *stage) clear() {
	for _, p := range s.left {
		p.end(syscall.SIGKILL)
		if s.t.Failed() {
			s.t.Logf("%s:\n%s", strings.Join(p.cmd.Args, " "), p.output.String())
		}
	}
	s.left = nil
}

// run runs a block's commands. What it returns is what they have printed so far, by the names of the page: some go on.
func (s *stage) run(b block, p page) (output func() string) {
	s.t.Helper()
	if b.after == "ctrl-c" {
		s.ctrlC()
	}
	var all []func() string
	commands := b.commands()
	for i, c := range commands {
		want := 0
		if i == len(commands)-1 {
			want = b.status
		}
		text, status := s.command(c)
		all = append(all, text)
		if out := text(); status != want || strings.Contains(out, "(error)") {
			s.t.Fatalf("%s: %s: ended with status %d, want %d:\n%s", p.at(b.at), c, status, want, out)
		}
	}
	return func() string {
		var out strings.Builder
		for _, text := range all {
			out.WriteString(text())
		}
		return s.back.Replace(out.String())
	}
}

// compare wants what a page shows to have been printed. What goes on may print it yet.
func (s *stage) compare(b block, p page, output func() string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	before := ""
	for late := time.Now().Add(printing); ; <-tick.C {
		out := output()
		why := missing(b.text, out)
		if why == "" {
			return
		}
		if running := slices.ContainsFunc(s.left, (*process).running); !running && out == before || time.Now().After(late) {
			s.t.Errorf("%s: the page shows what is not printed: %s\nPrinted was:\n%s", p.at(b.at), why, out)
			return
		}
		before = out
	}
}

// command runs one as a reader would, and returns what it has printed and its status.
func (s *stage) command(c string) (output func() string, status int) {
	s.t.Helper()
	words := strings.Fields(c)
	switch {
	case strings.HasPrefix(c, "sudo systemctl "):
		s.systemctl(words[2])
		return func() string { return "" }, 0
	case words[0] == "export":
		name, _, _ := strings.Cut(words[1], "=")
		value, status := s.command(strings.TrimPrefix(c, "export ") + "; printf %s \"$" + name + "\"")
		s.env = append(s.env, name+"="+value())
		return func() string { return "" }, status
	case words[0] == "tandem" && words[1] == "serve":
		p := s.leave(c)
		s.serving(p)
		return p.output.String, 0
	case words[0] == "redis-benchmark" && strings.Contains(c, " -l "):
		return s.leave(c).output.String, 0
	case strings.HasPrefix(c, "tandem status --watch"):
		p := s.leave(c)
		s.until("both servers hold the same", p, func() bool { return strings.Contains(p.output.String(), "phase     synced") })
		return p.output.String, p.end(os.Interrupt)
	}
	out, err := os.CreateTemp(s.dir, "output-")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd := s.shell(c)
	cmd.Stdout, cmd.Stderr = out, out // a file, which a server that goes on in the background may keep
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("%s: %v", c, err)
	}
	defer func() {
		if words[0] == "redis-server" { // it says nothing when it is there, and a reader takes a moment to type on
			_, port, _ := strings.Cut(c, "--port ")
			s.listens(s.there.Replace("--port " + strings.Fields(port)[0]))
		}
	}()
	late := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	_ = cmd.Wait() // its state says how it ended
	text, err := os.ReadFile(out.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return func() string { return string(text) }, cmd.ProcessState.ExitCode()
}

// listens waits until somebody does at a port of this machine.
func (s *stage) listens(port string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(patience); ; <-tick.C {
		c, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimPrefix(port, "--port "))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(late) {
			s.t.Fatal(err)
		}
	}
}

// shell is a command of a page, here. It is in a group of its own, and ends with the tests however they end.
func (s *stage) shell(c string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", s.there.Replace(c))
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// leave starts what goes on.
func (s *stage) leave(c string) *process {
	s.t.Helper()
	p := &process{cmd: s.shell("exec " + c), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		s.t.Fatalf("%s: %v", c, err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.ended)
	}()
	s.left = append(s.left, p)
	return p
}

// running tells whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// end ends a process, if it has not ended, and returns its status.
func (p *process) end(how os.Signal) int {
	_ = p.cmd.Process.Signal(how) // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.cmd.ProcessState.ExitCode()
}

// ctrlC ends what was left running, the last first: benchmarks before the program that they go through.
func (s *stage) ctrlC() {
	s.t.Helper()
	for i := len(s.left) - 1; i >= 0; i-- {
		p := s.left[i]
		if !p.running() {
			continue
		}
		if status := p.end(os.Interrupt); status != 0 && strings.Contains(strings.Join(p.cmd.Args, " "), "tandem serve") {
			s.t.Errorf("tandem serve ended with status %d", status)
		}
	}
}

// systemctl is the unit: it starts the program with the page's file, and ends it with SIGTERM.
func (s *stage) systemctl(step string) {
	s.t.Helper()
	if s.service != nil && step != "start" && step != "enable" {
		if status := s.service.end(syscall.SIGTERM); status != 0 {
			s.t.Errorf("the service ended with status %d:\n%s", status, s.service.output.String())
		}
		s.service = nil
	}
	if step == "start" || step == "enable" || step == "restart" {
		s.service = s.leave("tandem serve -c /etc/tandem/tandem.yaml 2> >(tee -a \"$SERVICE_LOG\")")
		s.serving(s.service)
	}
}

// serving waits until the program serves clients.
func (s *stage) serving(p *process) {
	s.t.Helper()
	s.until("tandem serves", p, func() bool { return strings.Contains(p.output.String(), "msg=serving") && s.phase() != "" })
}

// phase is the present one, "" while the program does not answer.
func (s *stage) phase() string {
	body, err := get("http://" + s.admin + "/api/v1/status")
	if err != nil {
		return ""
	}
	var status struct{ Phase string }
	if err := json.Unmarshal(body, &status); err != nil {
		s.t.Fatalf("status: %v: %s", err, body)
	}
	return status.Phase
}

// until waits for a condition while a process runs.
func (s *stage) until(what string, p *process, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(patience); !ok(); {
		select {
		case <-p.ended:
			s.t.Fatalf("%s: it has ended: %v\n%s", what, p.cmd.ProcessState, p.output.String())
		case <-tick.C:
		}
		if time.Now().After(late) {
			s.t.Fatalf("%s: not within %v\n%s", what, patience, p.output.String())
		}
	}
}

// write makes the file that a page shows.
func (s *stage) write(b block) {
	s.t.Helper()
	path := s.there.Replace(b.file)
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	if err := os.WriteFile(path, []byte(s.there.Replace(b.text)+"\n"), 0o600); err != nil {
		s.t.Fatal(fmt.Errorf("file of the page: %w", err))
	}
}
