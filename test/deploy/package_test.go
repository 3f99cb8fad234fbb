package deploy

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// TestPackage installs the package, has its unit judged by systemd, starts what the unit starts as the user that the
// package has made, with nothing of root's, and removes it.
func TestPackage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a package is installed by root: run this as root, where that does no harm (a container)")
	}
	for _, path := range []string{"/usr/bin/tandem", "/etc/tandem", "/var/lib/tandem"} {
		if _, err := os.Lstat(path); err == nil {
			t.Fatalf("%s is there: this machine has a Tandem of its own, which this test would overwrite", path)
		}
	}
	deb := released(t, "tandem_1.2.3~rc1_"+arch+".deb")
	t.Cleanup(func() {
		_ = exec.Command("dpkg", "--purge", "tandem").Run()
		_ = exec.Command("userdel", "tandem").Run()
		_ = os.RemoveAll("/var/lib/tandem")
		_ = os.RemoveAll("/etc/tandem")
	})
	must(t, "dpkg", "--install", deb)
	files := strings.Fields(must(t, "dpkg", "--listfiles", "tandem"))

	if out := must(t, "/usr/bin/tandem", "version"); !strings.HasPrefix(out, "tandem "+releaseVersion+" ") {
		t.Errorf("version says %q", out)
	}
	for path, want := range map[string]string{"/etc/tandem": "0750 root tandem", "/etc/tandem/tandem.yaml": "0640 root tandem"} {
		if got := strings.TrimSpace(must(t, "stat", "-c", "%04a %U %G", path)); got != want {
			t.Errorf("%s is %s, want %s: it holds passwords", path, got, want)
		}
	}

	const unitPath = "/usr/lib/systemd/system/tandem.service"
	if out := must(t, "systemd-analyze", "verify", unitPath); strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	// 0 is nothing left to attack, 10 a service without any rule; a plain one has 9.6.
	must(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unitPath)

	text, err := os.ReadFile(unitPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("service", func(t *testing.T) { runAsUnit(t, readUnit(t, string(text))) })
	t.Run("manual", func(t *testing.T) {
		pages, err := filepath.Glob("/usr/share/man/man1/tandem*.1.gz")
		if err != nil || len(pages) < 15 {
			t.Fatalf("%d manual pages: %v", len(pages), err)
		}
		for _, page := range pages {
			out := must(t, "sh", "-c", "gzip -dc "+page+" | LC_ALL=C.UTF-8 groff -man -ww -Tutf8 -rLL=100n 2>&1 >/dev/null")
			if out != "" {
				t.Errorf("%s: %s", page, out)
			}
		}
	})
	t.Run("completion", func(t *testing.T) {
		// What bash-completion would source at the first TAB.
		const ask = `source /usr/share/bash-completion/completions/tandem
			_get_comp_words_by_ref() { cur=sta; prev=tandem; words=(tandem sta); cword=1; }
			_init_completion() { _get_comp_words_by_ref; }
			compopt() { :; }
			COMP_WORDS=(tandem sta) COMP_CWORD=1 COMP_LINE="tandem sta" COMP_POINT=10 COMP_TYPE=9
			__start_tandem && printf '%s\n' "${COMPREPLY[@]}"`
		if got := strings.Fields(must(t, "bash", "-c", ask)); strings.Join(got, " ") != "start status" {
			t.Errorf("tandem sta<TAB> offers %q", got)
		}
	})

	// An upgrade keeps what was configured; a removal keeps it and the state.
	if err := os.WriteFile("/etc/tandem/tandem.yaml", []byte("start: manual\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	must(t, "dpkg", "--install", deb)
	if kept, err := os.ReadFile("/etc/tandem/tandem.yaml"); err != nil || string(kept) != "start: manual\n" {
		t.Errorf("after an upgrade the configuration is %q, %v", kept, err)
	}
	must(t, "dpkg", "--purge", "tandem")
	if _, err := os.Stat("/var/lib/tandem/state"); err != nil {
		t.Error("the state directory went with the package: it says which server answers")
	}
	for _, path := range files {
		if info, err := os.Lstat(path); err == nil && !info.IsDir() {
			t.Errorf("%s is left", path)
		}
	}
}

// runAsUnit starts what the unit starts, as systemd would, and migrates with it.
func runAsUnit(t *testing.T, u unit) {
	if u.one(t, "Service.Type") != "notify" || u.one(t, "Service.NotifyAccess") != "main" {
		t.Fatal("it is not a unit that waits for its service")
	}
	user, group, work := u.one(t, "Service.User"), u.one(t, "Service.Group"), u.one(t, "Service.WorkingDirectory")
	state := filepath.Join("/var/lib", u.one(t, "Service.StateDirectory"))
	must(t, "install", "-d", "-o", user, "-g", group, "-m", u.one(t, "Service.StateDirectoryMode"), state)
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	client, admin := program.FreeAddr(t), program.FreeAddr(t)
	environment := strings.TrimPrefix(u.one(t, "Service.EnvironmentFile"), "-")
	if err := os.WriteFile(environment, []byte(strings.Join([]string{
		"TANDEM_SOURCE=" + source.URL(), "TANDEM_TARGET=" + target.URL(), "TANDEM_LISTEN=" + client, "TANDEM_ADMIN_LISTEN=" + admin,
		"TANDEM_STATE_DIR=" + filepath.Join(state, "state"),
	}, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	m := newManager(t)
	var output printed.Text
	cmd := exec.Command("sh", "-c", `set -a; . "$0"; umask 077; exec setpriv --reuid "$1" --regid "$2" --init-groups --no-new-privs `+
		`--bounding-set -all --inh-caps -all `+u.one(t, "Service.ExecStart"), environment, user, group)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, &output, &output
	cmd.Env = []string{"PATH=/usr/bin:/bin", "NOTIFY_SOCKET=" + m.path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("its log:\n%s", output.String())
		}
	})

	m.wait(t, "READY=1")
	// It is said when clients are served, so one that comes now is.
	conn, err := net.DialTimeout("tcp", client, 10*time.Second)
	if err != nil {
		t.Fatalf("it said that it is ready, and does not listen: %v", err)
	}
	defer conn.Close()
	ask(t, conn, "SET greeting hello\r\n", "+OK\r\n")
	m.wait(t, "STATUS=passthrough: the source answers")
	must(t, "/usr/bin/tandem", "start", "--admin", "http://"+admin)
	m.wait(t, "STATUS=synced: the source answers, the target is kept equal")
	if got := strings.TrimSpace(must(t, "sh", "-c", "stat -c %a "+state+"/state/intents")); got != "600" {
		t.Errorf("a file of the state is %s, want it the service's alone", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "STOPPING=1")
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}

// ask sends a command and wants a reply.
func ask(t *testing.T, conn net.Conn, command, want string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(command)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	for n := 0; n < len(b); {
		k, err := conn.Read(b[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	if string(b) != want {
		t.Fatalf("%q is answered %q, want %q", command, b, want)
	}
}
