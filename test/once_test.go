package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/keyspace"
	"tandem/test/load"
	"tandem/test/program"
	"tandem/test/wire"
)

// once is two servers and a keyspace on the source, which `tandem migrate` moves.
type once struct {
	t              *testing.T
	source, target *redisd.Server
	td             *program.Tandem
	layout         keyspace.Layout
}

func newOnce(t *testing.T, keys int, flags ...string) *once {
	t.Helper()
	o := &once{t: t, source: redisdtest.Start(t, redisd.Options{}), target: redisdtest.Start(t, redisd.Options{}),
		layout: keyspace.Layout{Keys: keys, Seed: seed, LargeBytes: 1 << 20}}
	if err := o.layout.Fill(o.source.Addr); err != nil {
		t.Fatal(err)
	}
	o.td = program.Prepare(t, o.source.URL(), o.target.URL())
	o.td.Args = append([]string{"migrate", "--source", o.source.URL(), "--target", o.target.URL(), "--state-dir", o.td.Dir}, flags...)
	return o
}

// run runs it to its end, and returns the exit status and what it said.
func (o *once) run(more ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	return program.Command(o.t, nil, append(o.td.Args, more...)...)
}

func (o *once) mustBeEqual() {
	o.t.Helper()
	result, err := keyspace.Compare(o.source.Addr, o.target.Addr, keyspace.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	if len(result.Differences) > 0 || result.First == 0 {
		o.t.Errorf("source (first) and target (second): %s", result)
	}
}

// A keyspace of all types moves while clients write to the source directly, who know nothing of it, while keys are copied and while
// they are compared; they stop before the end. Then it ends with 0, and both servers are equal by a comparison that is not its own.
func TestMigrateOnceWithWritersOnTheSource(t *testing.T) {
	keys := 20_000
	if program.Full {
		keys = 1_000_000
	}
	o := newOnce(t, keys)
	const clients = 8
	if err := load.Prepare(o.source.Addr, clients); err != nil {
		t.Fatal(err)
	}
	conn, err := wire.Dial(o.source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	server, err := conn.Server()
	conn.Close()
	if err != nil {
		t.Fatal(err)
	}
	l, err := load.Start(load.Config{Addr: o.source.Addr, Layout: o.layout, Clients: clients, Seed: seed, Server: server, NoFlush: true, Rate: 3000})
	if err != nil {
		t.Fatal(err)
	}
	o.td.Launch()
	began := time.Now()
	o.td.Until("keys are compared", program.SyncTime(), func() bool { return strings.Contains(o.td.Logged(), `msg="verify begins"`) })
	copied := time.Since(began)
	l.Stop()
	select {
	case <-o.td.Exited():
	case <-time.After(program.SyncTime()):
		t.Fatal("it has not ended")
	}
	if code := o.td.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	t.Logf("%d keys and what %d clients wrote meanwhile: copied after %v, all done after %v", o.layout.Keys, clients,
		copied.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	o.mustBeEqual()
}

// A source that does not report changed keys, and somebody who writes there all the time, though he changes nothing: no comparison
// finds a difference, and it does not promise that there is none. Without him it does.
func TestMigrateOnceDoesNotPromiseWhatNobodyWatches(t *testing.T) {
	o := newOnce(t, 1000)
	do(t, o.source.Addr, "ACL", "SETUSER", "mover", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
	do(t, o.source.Addr, "SET", "hot", "same")
	for i, arg := range o.td.Args {
		if arg == "--source" {
			o.td.Args[i+1] = "redis://mover:pw@" + o.source.Addr
		}
	}
	conn, err := wire.Dial(o.source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				if _, err := conn.Do("SET", "hot", "same"); err != nil {
					return
				}
			}
		}
	}()
	code, stdout, stderr := o.run()
	close(ended)
	<-done
	conn.Close()
	if code != 4 || !strings.Contains(stderr, "all keys were equal when they were compared, but nobody knows what was written") {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	if code, stdout, stderr = o.run(); code != 0 { // the remedy: they have stopped
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	o.mustBeEqual()
}

// Killed in the middle and run again, it goes on and ends with 0; run once more, it finds what was changed meanwhile.
func TestMigrateOnceGoesOnAfterAKill(t *testing.T) {
	o := newOnce(t, sized(50_000))
	o.td.Launch()
	o.td.Until("keys on the target", time.Minute, func() bool {
		n, err := wire.Once(o.target.Addr, "DBSIZE")
		return err == nil && n.Int > 1000
	})
	o.td.Signal(syscall.SIGKILL)
	do(t, o.source.Addr, "SET", "changed while it was away", "1")
	code, stdout, stderr := o.run()
	if code != 0 || !strings.Contains(stdout, "0 different: both servers hold the same") {
		t.Fatalf("%d\n%s\n%s", code, stdout, stderr)
	}
	o.mustBeEqual()
	do(t, o.target.Addr, "DEL", "changed while it was away")
	do(t, o.target.Addr, "SET", "made there", "1")
	code, stdout, stderr = o.run()
	if code != 0 || !strings.Contains(stderr, "2 keys differed when they were first compared") {
		t.Fatalf("%d\n%s\n%s", code, stdout, stderr)
	}
	o.mustBeEqual()
}

// Somebody who never stops, and whom nobody may watch, keeps it from ending well: it lists what differs and ends with 4.
func TestMigrateOnceWithAWriterWhoNeverStops(t *testing.T) {
	o := newOnce(t, 1000, "--for", "0s")
	file := filepath.Join(t.TempDir(), "tandem.yaml")
	if err := os.WriteFile(file, []byte("tracking: \"off\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := wire.Dial(o.source.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ended:
				return
			case <-tick.C:
				if _, err := conn.Do("SET", fmt.Sprint("hot:", n%50), fmt.Sprint(n)); err != nil {
					return
				}
			}
		}
	}()
	code, stdout, stderr := o.run("-c", file)
	close(ended)
	<-done
	if code != 4 || !strings.Contains(stdout, `"hot:`) || !strings.Contains(stderr, "somebody writes to the source past tandem") {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	if code, stdout, stderr = o.run(); code != 0 { // the remedy: they have stopped
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	o.mustBeEqual()
}

// A dry run says what would be done and leaves no trace; what it would be refused for it says as the real run does.
func TestMigrateDryRun(t *testing.T) {
	o := newOnce(t, 1000)
	code, stdout, _ := o.run("--dry-run")
	for _, says := range []string{"Result: ok", "begin        a new state directory, " + o.td.Dir, "copy         ", "keys, some ", "verify       all keys", "end          by itself"} {
		if !strings.Contains(stdout, says) {
			t.Errorf("it does not say %q:\n%s", says, stdout)
		}
	}
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Stat(o.td.Dir); !os.IsNotExist(err) {
		t.Errorf("the state directory is there: %v", err)
	}
	if n := do(t, o.target.Addr, "DBSIZE"); n.Int != 0 {
		t.Errorf("%d keys on the target", n.Int)
	}
	do(t, o.target.Addr, "SET", "there before", "1")
	for _, more := range [][]string{{"--dry-run"}, nil} {
		code, stdout, stderr := o.run(more...)
		if code != 3 || !strings.Contains(stdout+stderr, "1 key") {
			t.Errorf("%v: %d\n%s\n%s", more, code, stdout, stderr)
		}
	}
	// What the configuration says of such keys holds for both.
	file := filepath.Join(t.TempDir(), "tandem.yaml")
	if err := os.WriteFile(file, []byte("duplicates: skip\ntarget_only: keep\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := o.run("--dry-run", "-c", file)
	if code != 0 || !strings.Contains(stdout, "duplicates   on the target: 1 key") || !strings.Contains(stdout, "(duplicates: skip)") {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	if code, stdout, stderr = o.run("-c", file); code != 0 {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	if reply := do(t, o.target.Addr, "GET", "there before"); string(reply.Str) != "1" {
		t.Errorf("a kept key is %v", reply)
	}
	code, stdout, _ = o.run("--dry-run")
	if code != 0 || !strings.Contains(stdout, "go on        where the state directory") {
		t.Errorf("%d\n%s", code, stdout)
	}
}

// It listens, and opens the admin address, only if the flag is given.
func TestMigrateOnceServesOnlyIfItIsTold(t *testing.T) {
	o := newOnce(t, 1000, "--listen", program.FreeAddr(t))
	listen := o.td.Args[len(o.td.Args)-1]
	o.td.Args = append(o.td.Args, "--admin", strings.TrimPrefix(o.td.Admin, "http://"))
	if err := o.source.Pause(); err != nil { // so that it does not end before it was asked
		t.Fatal(err)
	}
	o.td.Launch()
	o.td.Until("the admin address", 10*time.Second, func() bool {
		_, err := o.td.TryStatus()
		return err == nil
	})
	served := make(chan error, 1)
	go func() {
		_, err := wire.Once(listen, "SET", "through it", "1")
		served <- err
	}()
	if err := o.source.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-o.td.Exited()
	if code := o.td.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	o.mustBeEqual()
}

// What the target cannot hold is said, and only who has accepted that is told that all is well.
func TestMigrateOnceToAServerWithoutExpiryOfFields(t *testing.T) {
	servers, ok := redisdtest.Find(t, "redis-8.0", "redis-7.0")
	if !ok {
		return
	}
	source, target := redisdtest.Start(t, redisd.Options{Binary: servers[0].Path}), redisdtest.Start(t, redisd.Options{Binary: servers[1].Path})
	do(t, source.Addr, "HSET", "h", "late", "1", "never", "2")
	do(t, source.Addr, "HPEXPIRE", "h", "3600000", "FIELDS", "1", "late")
	file := filepath.Join(t.TempDir(), "tandem.yaml")
	if err := os.WriteFile(file, []byte("precheck:\n  accept: [field_expiry]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"migrate", "--source", source.URL(), "--target", target.URL(), "--state-dir", filepath.Join(t.TempDir(), "state")}
	for _, x := range []struct {
		more []string
		want int
	}{{nil, 4}, {[]string{"-c", file}, 0}} {
		code, stdout, stderr := program.Command(t, nil, append(flags, x.more...)...)
		if code != x.want || !strings.Contains(stdout, "of 1 hashes there are fields that expire on the source, and stay on the target for ever") {
			t.Errorf("exit %d, want %d\n%s\n%s", code, x.want, stdout, stderr)
		}
	}
}
