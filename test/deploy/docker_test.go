package deploy

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// An instruction is one of a Dockerfile.
type instruction struct{ name, rest string }

// stages are the instructions of a Dockerfile, by the FROM that they follow.
func stages(t *testing.T) (all [][]instruction) {
	t.Helper()
	for line := range strings.Lines(read(t, "Dockerfile")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasSuffix(line, `\`) {
			t.Fatal("this test does not know lines that go on")
		}
		name, rest, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("%s stands before the first FROM", name)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.TrimSpace(rest)})
	}
	return all
}

// words are the elements of the exec form.
func words(t *testing.T, form string) (list []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(form), &list); err != nil {
		t.Fatalf("%s is not in the exec form: %v", form, err)
	}
	return list
}

// TestContainer runs the steps of the Dockerfile without one: those of its build in a copy of the source without what
// .dockerignore leaves out, those of its image into a directory, in which the program then runs with nothing else: no
// shell, no library, no root.
func TestContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a container's root directory is changed to by root: run this as root, where that does no harm (a container)")
	}
	parts := stages(t)
	if len(parts) != 2 || parts[0][0].rest != "golang:1.26-bookworm AS build" || parts[1][0].rest != "scratch" {
		t.Fatalf("it is made from %v", parts)
	}
	if mod := read(t, "go.mod"); !regexp.MustCompile(`(?m)^go 1\.26(\.|$)`).MatchString(mod) {
		t.Error("the image that it is built with is not of the Go that go.mod names")
	}
	built := buildStage(t, parts[0])

	image := t.TempDir()
	user, work, path := "", "", ""
	var entry, cmd, health []string
	for _, i := range parts[1][1:] {
		switch i.name {
		case "COPY":
			copyFrom(t, i.rest, built, image)
		case "USER":
			user = i.rest
		case "WORKDIR":
			work = i.rest
		case "ENV":
			path = i.rest
		case "ENTRYPOINT":
			entry = words(t, i.rest)
		case "CMD":
			cmd = words(t, i.rest)
		case "HEALTHCHECK":
			_, form, _ := strings.Cut(i.rest, "CMD ")
			health = words(t, form)
		case "VOLUME":
			if v := words(t, i.rest); len(v) != 1 || v[0] != work && v[0] != "/var/lib/tandem" {
				t.Errorf("the state is not on the volume: %v", v)
			}
		case "EXPOSE", "STOPSIGNAL":
		default:
			t.Fatalf("this test does not know %s", i.name)
		}
	}
	if path != "PATH=/usr/bin" || work != "/var/lib/tandem" || len(entry) == 0 || len(cmd) == 0 || len(health) == 0 {
		t.Fatalf("PATH %q, WORKDIR %q, ENTRYPOINT %q, CMD %q, HEALTHCHECK %q", path, work, entry, cmd, health)
	}
	id, group, ok := strings.Cut(user, ":")
	if !ok || id == "0" || group == "0" || strings.Trim(id+group, "0123456789") != "" {
		t.Fatalf("it runs as %q: want numbers, and not root's", user)
	}
	if size := strings.Fields(must(t, "du", "-sm", image))[0]; len(size) > 2 {
		t.Errorf("the image has %s MB", size)
	}

	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	admin := program.FreeAddr(t)
	inside := func(args ...string) *exec.Cmd {
		c := exec.Command("chroot", append([]string{"--userspec=" + id + ":" + group, "--groups=", image}, args...)...)
		c.Env = []string{path, "TANDEM_SOURCE=" + source.URL(), "TANDEM_TARGET=" + target.URL(), "TANDEM_ADMIN_LISTEN=" + admin,
			"TANDEM_LISTEN=127.0.0.1:0", "TANDEM_STATE_DIR=" + filepath.Join(work, "tandem-state")}
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return c
	}
	if cmd[0] != "serve" {
		t.Fatalf("it runs %v", cmd)
	}
	var output printed.Text
	serve := inside(append(entry, "serve")...)
	serve.Stdout, serve.Stderr = &output, &output
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- serve.Wait() }()
	t.Cleanup(func() { _ = serve.Process.Kill() })
	until(t, "the program in the image is ready", 30*time.Second, func() bool {
		r, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	if out, err := inside(health...).CombinedOutput(); err != nil {
		t.Errorf("its health check says %v\n%s", err, out)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("it ended with %v\n%s", err, output.String())
	}
	if out, err := inside(health...).CombinedOutput(); err == nil {
		t.Errorf("its health check finds a program that has ended well:\n%s", out)
	}
}

// buildStage runs the steps of the stage that builds, and returns what stands for its root directory.
func buildStage(t *testing.T, steps []instruction) string {
	t.Helper()
	src, out := t.TempDir(), t.TempDir()
	arguments := map[string]string{}
	for _, i := range steps[1:] {
		switch {
		case i.name == "WORKDIR" && i.rest == "/src":
		case i.name == "COPY" && i.rest == "go.mod go.sum ./":
			must(t, "cp", at(t, "go.mod"), at(t, "go.sum"), src)
		case i.name == "COPY" && i.rest == ". .":
			c := []string{"-ec", `cd "$0"; tar --create --file=- "$@" . | tar --extract --file=- --directory="$DIR"`, at(t, ".")}
			for line := range strings.Lines(read(t, ".dockerignore")) {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
					c = append(c, "--exclude=./"+line)
				}
			}
			run := exec.Command("sh", c...)
			run.Env = append(os.Environ(), "DIR="+src)
			if b, err := run.CombinedOutput(); err != nil {
				t.Fatalf("COPY: %v\n%s", err, b)
			}
		case i.name == "ARG":
			name, value, _ := strings.Cut(i.rest, "=")
			arguments[name] = value
		case i.name == "RUN":
			// Its directories are of its own; the downloads of this machine are as good as new ones.
			c := exec.Command("sh", "-ec", strings.ReplaceAll(i.rest, "/out", out))
			c.Dir = src
			c.Env = os.Environ()
			for name, value := range arguments {
				c.Env = append(c.Env, name+"="+value)
			}
			if b, err := c.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", i.rest, err, b)
			}
		default:
			t.Fatalf("this test does not know %s %s", i.name, i.rest)
		}
	}
	return out
}

// copyFrom does a COPY from the stage that builds.
func copyFrom(t *testing.T, rest, built, image string) {
	t.Helper()
	owner := ""
	args := strings.Fields(rest)
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		if o, ok := strings.CutPrefix(args[0], "--chown="); ok {
			owner = o
		} else if args[0] != "--from=build" {
			t.Fatalf("this test does not know %s", args[0])
		}
		args = args[1:]
	}
	from, to := args[0], filepath.Join(image, args[1])
	if in, ok := strings.CutPrefix(from, "/out/"); ok {
		from = filepath.Join(built, in)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "cp", "-r", from, to)
	if owner != "" {
		must(t, "chown", "-R", owner, to)
	}
	// Others than its owner must get in.
	must(t, "chmod", "0755", image)
}
