package deploy

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"tandem/internal/printed"
	"tandem/internal/redisd"
	"tandem/internal/redisd/redisdtest"
	"tandem/test/program"
)

// manifests are the objects of deploy/kubernetes, by kind and name.
type manifests struct {
	secret     core.Secret
	config     core.ConfigMap
	claim      core.PersistentVolumeClaim
	deployment apps.Deployment
	services   map[string]core.Service
	budget     policy.PodDisruptionBudget
}

// decode reads the manifests as the API server does that is asked to be strict: an unknown field is an error, and so is
// a field that is there twice.
func decode(t *testing.T) manifests {
	t.Helper()
	m := manifests{services: map[string]core.Service{}}
	var service core.Service
	kinds := map[string]any{
		"v1/Secret": &m.secret, "v1/ConfigMap": &m.config, "v1/PersistentVolumeClaim": &m.claim, "apps/v1/Deployment": &m.deployment,
		"v1/Service": &service, "policy/v1/PodDisruptionBudget": &m.budget,
	}
	for _, text := range regexp.MustCompile(`(?m)^---$`).Split(read(t, "deploy/kubernetes/tandem.yaml"), -1) {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatal(err)
		}
		into, ok := kinds[kind.APIVersion+"/"+kind.Kind]
		if !ok {
			t.Fatalf("this test does not know %+v", kind)
		}
		service = core.Service{}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
		if kind.Kind == "Service" {
			m.services[service.Name] = service
		}
	}
	return m
}

func TestManifestsAreOneTandem(t *testing.T) {
	m := decode(t)
	d, pod := m.deployment.Spec, m.deployment.Spec.Template.Spec
	if d.Replicas == nil || *d.Replicas != 1 || d.Strategy.Type != apps.RecreateDeploymentStrategyType {
		t.Error("there can be two at a time, each of which undoes what the other does")
	}
	if !slices.Equal(m.claim.Spec.AccessModes, []core.PersistentVolumeAccessMode{core.ReadWriteOncePod}) {
		t.Errorf("two pods can have the state: %v", m.claim.Spec.AccessModes)
	}
	labels := d.Template.Labels
	for name, selector := range map[string]map[string]string{
		"deployment": d.Selector.MatchLabels, "service": m.services["tandem"].Spec.Selector,
		"admin service": m.services["tandem-admin"].Spec.Selector, "budget": m.budget.Spec.Selector.MatchLabels,
	} {
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("the %s does not select the pod: %s=%s", name, k, v)
			}
		}
		if len(selector) == 0 {
			t.Errorf("the %s selects everything", name)
		}
	}
	c := pod.Containers[0]
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, port := range map[string]string{"tandem": "redis", "tandem-admin": "admin"} {
		if p := m.services[name].Spec.Ports; len(p) != 1 || p[0].TargetPort.StrVal != port || p[0].Port != ports[port] {
			t.Errorf("the service %s leads to %+v", name, p)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && (e.ValueFrom.SecretKeyRef.Name != m.secret.Name || m.secret.StringData[e.ValueFrom.SecretKeyRef.Key] == "") {
			t.Errorf("%s comes from a secret that is not there", e.Name)
		}
	}
	mounted := map[string]string{}
	for _, v := range c.VolumeMounts {
		mounted[v.Name] = v.MountPath
	}
	for _, v := range pod.Volumes {
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name == m.config.Name && mounted[v.Name] == "/etc/tandem":
		case v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == m.claim.Name && mounted[v.Name] == "/var/lib/tandem":
		default:
			t.Errorf("the volume %s is not mounted where it is looked for", v.Name)
		}
	}
	s, ps := c.SecurityContext, pod.SecurityContext
	if !*ps.RunAsNonRoot || *ps.RunAsUser == 0 || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Error("the pod may do more than it needs")
	}
	if *pod.EnableServiceLinks || *pod.AutomountServiceAccountToken {
		t.Error("the pod is given what it does not need")
	}
}

// TestManifestsRun starts what the pod starts, with its settings and variables, and asks its probes.
func TestManifestsRun(t *testing.T) {
	m := decode(t)
	pod := m.deployment.Spec.Template.Spec
	c := pod.Containers[0]
	binary, err := program.Binary()
	if err != nil {
		t.Fatal(err)
	}
	source, target := redisdtest.Start(t, redisd.Options{}), redisdtest.Start(t, redisd.Options{})
	client, admin, dir := program.FreeAddr(t), program.FreeAddr(t), t.TempDir()
	// What is of the pod alone is put elsewhere: addresses, directories, servers.
	elsewhere := strings.NewReplacer("0.0.0.0:6380", client, "0.0.0.0:6390", admin, "/var/lib/tandem", filepath.Join(dir, "state"),
		"redis://tandem:password@old.internal:6379", source.URL(), "redis://tandem:password@new.internal:6379", target.URL(),
		"/etc/tandem", dir)
	for name, text := range m.config.Data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(elsewhere.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var args, env []string
	for _, a := range c.Args {
		args = append(args, elsewhere.Replace(a))
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = m.secret.StringData[e.ValueFrom.SecretKeyRef.Key]
		}
		env = append(env, e.Name+"="+elsewhere.Replace(value))
	}

	run := func(args ...string) *exec.Cmd {
		c := exec.Command(binary, args...)
		c.Env = env
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return c
	}
	if out, err := run(append([]string{"config", "check"}, args[1:]...)...).CombinedOutput(); err != nil {
		t.Fatalf("config check: %v\n%s", err, out)
	}
	shown, err := run(append([]string{"config", "print"}, args[1:]...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Shutdown struct{ Timeout string }
	}
	if err := yaml.Unmarshal(shown, &settings); err != nil {
		t.Fatal(err)
	}
	timeout, err := time.ParseDuration(settings.Shutdown.Timeout)
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; err != nil || grace < timeout+timeout/4 {
		t.Errorf("the pod has %v to end, and the drain may take %v", grace, timeout+timeout/4)
	}

	var output printed.Text
	serve := run(args...)
	serve.Stdout, serve.Stderr = &output, &output
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- serve.Wait() }()
	t.Cleanup(func() { _ = serve.Process.Kill() })
	for name, p := range map[string]*core.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p.HTTPGet.Port.StrVal != "admin" {
			t.Errorf("the %s probe asks the port %s", name, p.HTTPGet.Port.StrVal)
		}
		until(t, name+" probe: "+p.HTTPGet.Path, 30*time.Second, func() bool {
			r, err := http.Get("http://" + admin + p.HTTPGet.Path)
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
	}
	// As in the pod: kubectl exec deploy/tandem -- tandem status.
	if out, err := run("status").CombinedOutput(); err != nil || !strings.Contains(string(out), "passthrough") {
		t.Errorf("status in the pod: %v\n%s", err, out)
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("it ended with %v\n%s", err, output.String())
	}
}
