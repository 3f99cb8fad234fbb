package deploy

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const arch = runtime.GOARCH

// archive unpacks the release's archive and returns its directory.
func archive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	name := "tandem_" + releaseVersion[1:] + "_linux_" + arch
	must(t, "tar", "-xzf", released(t, name+".tar.gz"), "-C", dir)
	return filepath.Join(dir, name)
}

// TestReleaseIsStaticAndStamped: the program needs no library of the machine, and knows its version.
func TestReleaseIsStaticAndStamped(t *testing.T) {
	dir := archive(t)
	path := filepath.Join(dir, "tandem")
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a %v: it is not static", p.Type)
		}
	}
	if out := must(t, path, "version"); !strings.HasPrefix(out, "tandem "+releaseVersion+" ") {
		t.Errorf("version says %q", out)
	}
	for _, f := range []string{"README.md", "LICENSE", "CHANGELOG.md", "man/tandem-serve.1", "completions/tandem.bash", "deploy/systemd/tandem.service"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			t.Errorf("the archive lacks %s", f)
		}
	}
	must(t, "sh", "-c", "cd "+filepath.Dir(released(t, "SHA256SUMS"))+" && sha256sum --check --strict SHA256SUMS")
}

// TestReleaseIsReproducible: who builds it again gets the same bytes.
func TestReleaseIsReproducible(t *testing.T) {
	again := t.TempDir()
	if err := makeRelease(again); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(released(t, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("the same source gave\n%sand\n%s", first, second)
	}
}

// TestListOfParts: it names the very program, and each module that is in it.
func TestListOfParts(t *testing.T) {
	b, err := os.ReadFile(released(t, "tandem_"+releaseVersion[1:]+"_linux_"+arch+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Format   string `json:"bomFormat"`
		Spec     string `json:"specVersion"`
		Metadata struct {
			Component struct {
				Version string
				Hashes  []struct{ Alg, Content string }
			}
		}
		Components   []struct{ PURL string }
		Dependencies []struct{ DependsOn []string }
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(archive(t), "tandem")
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	self := list.Metadata.Component
	if list.Format != "CycloneDX" || list.Spec != "1.5" || self.Version != releaseVersion || len(self.Hashes) != 1 ||
		self.Hashes[0].Content != hex.EncodeToString(sum[:]) {
		t.Errorf("it is about %+v", self)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go"): true}
	for _, m := range info.Deps {
		want["pkg:golang/"+m.Path+"@"+m.Version] = true
	}
	for _, c := range list.Components {
		if !want[c.PURL] {
			t.Errorf("it lists %s, which is not in the program", c.PURL)
		}
		delete(want, c.PURL)
	}
	if len(want) != 0 || len(info.Deps) < 10 {
		t.Errorf("it lacks %v, of %d modules", want, len(info.Deps))
	}
	if len(list.Dependencies) != 1 || len(list.Dependencies[0].DependsOn) != len(list.Components) {
		t.Error("not every part is said to be one of the program")
	}
}
