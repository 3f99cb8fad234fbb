// Command parts lists what a program was built of, as CycloneDX 1.5 (JSON): the Go it was built with, and each module with
// its version and checksum. The linker has written both into the program, so the list is that of the very file.
//
//	parts PROGRAM VERSION
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: parts PROGRAM VERSION")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		os.Exit(1)
	}
}

// The document, as far as there is something to say.
type (
	document struct {
		Format       string      `json:"bomFormat"`
		Spec         string      `json:"specVersion"`
		Version      int         `json:"version"`
		Metadata     metadata    `json:"metadata"`
		Components   []component `json:"components"`
		Dependencies []depends   `json:"dependencies"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	depends struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
)

func run(program, version string, out io.Writer) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read what %s was built of: %w", program, err)
	}
	sum, err := digest(program)
	if err != nil {
		return err
	}
	self := component{
		Type: "application", Ref: "pkg:golang/tandem@" + version, Name: filepath.Base(program), Version: version,
		Hashes: []hash{{"SHA-256", sum}},
	}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" || s.Key == "-trimpath" {
			self.Properties = append(self.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	d := document{Format: "CycloneDX", Spec: "1.5", Version: 1, Metadata: metadata{self}}
	version, _, _ = strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	d.Components = append(d.Components, component{
		Type: "library", Ref: "pkg:golang/stdlib@" + version, Name: "stdlib", Version: version, PURL: "pkg:golang/stdlib@" + version,
	})
	for _, m := range info.Deps {
		c, err := module(m)
		if err != nil {
			return err
		}
		d.Components = append(d.Components, c)
	}
	all := depends{Ref: self.Ref}
	for _, c := range d.Components {
		all.On = append(all.On, c.Ref)
	}
	d.Dependencies = []depends{all}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(d)
}

// module is one that was linked, or what it was replaced by.
func module(m *debug.Module) (component, error) {
	for m.Replace != nil {
		m = m.Replace
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		raw, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return c, fmt.Errorf("checksum of %s: %w", m.Path, err)
		}
		// It is that of the module's list of files, as in go.sum.
		c.Properties = append(c.Properties, property{"go:h1", hex.EncodeToString(raw)})
	}
	return c, nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read the program: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
