package config

import (
	_ "embed"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

//go:embed defaults.yaml
var defaults string

// Defaults is a file with every setting at its default, each with its explanation.
func Defaults() string { return defaults }

// WriteYAML writes every setting as a file that Load reads, with passwords and tokens hidden.
func (c *Config) WriteYAML(w io.Writer) error {
	var b strings.Builder
	var open []string // groups that the line before was in
	for _, s := range settings(c) {
		groups := s.groups()
		for depth, g := range groups {
			if depth >= len(open) || open[depth] != g {
				fmt.Fprintf(&b, "%s%s:\n", indent(depth), lastName(g))
			}
		}
		open = groups
		fmt.Fprintf(&b, "%s%s: %s\n", indent(len(groups)), lastName(s.key), s.yaml())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// lastName is the part of a key that stands in its line of the file.
func lastName(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// yaml is the value as YAML. Texts are quoted: what YAML takes a bare one for depends on its letters.
func (s setting) yaml() string {
	if s.isList() {
		return s.yamlList()
	}
	if s.field.Kind() == reflect.String && len(s.oneof) == 0 {
		return strconv.Quote(s.text())
	}
	return s.text()
}

// text is the value as a user would write it, with passwords and tokens hidden.
func (s setting) text() string {
	if d, ok := s.field.Interface().(time.Duration); ok {
		return shortDuration(d)
	}
	if s.isList() {
		return s.listText()
	}
	return fmt.Sprint(s.field.Interface())
}

// shortDuration is d.String() without the zero units at its end: 5m0s is 5m.
func shortDuration(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}
