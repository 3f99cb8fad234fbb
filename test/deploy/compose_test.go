package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"

	"tandem/test/program"
)

// TestCompose loads the Compose file as docker compose does, and has the program check the settings that it makes.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{at(t, "deploy/compose/compose.yaml")}, cli.WithProfiles([]string{"*"}),
		cli.WithEnv([]string{"TANDEM_ADMIN_TOKEN=a-token-of-some-length"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	service := project.Services["tandem"]
	if service.Build == nil || filepath.Clean(service.Build.Context) != at(t, ".") {
		t.Errorf("it is built from %+v, not from the Dockerfile of this repository", service.Build)
	}
	var env []string
	for name, value := range service.Environment {
		env = append(env, name+"="+*value)
	}
	binary, err := program.Binary()
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(binary, "config", "check")
	check.Env = env
	if out, err := check.CombinedOutput(); err != nil || !strings.Contains(string(out), "redis://source:6379 to redis://target:6379") {
		t.Errorf("config check: %v\n%s", err, out)
	}
	if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || service.StopGracePeriod == nil || time.Duration(*service.StopGracePeriod) < 20*time.Second {
		t.Error("it may do more than it needs, or is killed in its drain")
	}
	if len(service.Volumes) != 1 || service.Volumes[0].Target != "/var/lib/tandem" || service.Volumes[0].Type != "volume" {
		t.Errorf("the state is not on a volume: %+v", service.Volumes)
	}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != "bind" {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts %s, which is not there", name, v.Source)
			}
		}
	}

	// Without a token it is not started: the admin address would be open to the network.
	without, err := cli.NewProjectOptions([]string{at(t, "deploy/compose/compose.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := without.LoadProject(context.Background()); err == nil || !strings.Contains(err.Error(), "TANDEM_ADMIN_TOKEN") {
		t.Errorf("without a token it loads: %v", err)
	}
}
