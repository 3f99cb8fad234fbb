package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tandem/internal/generated"
)

// TestGeneratedFiles fails when defaults.yaml or the reference does not say what config.go says.
func TestGeneratedFiles(t *testing.T) {
	docs := readDocs(t)
	for file, want := range map[string]string{
		"defaults.yaml":                      defaultsFile(docs),
		"../docs/reference/configuration.md": reference(docs),
	} {
		generated.File(t, file, want, "go generate ./config")
	}
}

// readDocs returns the comments of config.go: those of fields by "Type.Field", those of types by "Type".
func readDocs(t *testing.T) map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	docs := make(map[string]string)
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.TYPE {
			continue
		}
		spec := decl.Specs[0].(*ast.TypeSpec)
		fields := spec.Type.(*ast.StructType).Fields.List
		docs[spec.Name.Name] = oneLine(decl.Doc.Text())
		for _, f := range fields {
			docs[spec.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc.Text())
		}
	}
	for _, s := range settings(new(Config)) {
		list := []setting{s}
		if s.isList() && s.field.Type().Elem().Kind() == reflect.Struct {
			list = append(list, appendSettings(nil, reflect.New(s.field.Type().Elem()).Elem(), "")...)
		}
		for _, s := range list {
			if docs[s.goName] == "" {
				t.Errorf("%s has no comment", s.goName)
			}
		}
	}
	return docs
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// groupDoc is what a group of settings is about: the comment of its field, else that of its type.
func groupDoc(docs map[string]string, group string) string {
	t := reflect.TypeFor[Config]()
	var doc string
	for _, name := range strings.Split(group, ".") {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("key") == name {
				doc, t = docs[t.Name()+"."+f.Name], f.Type
				break
			}
		}
	}
	if doc == "" {
		doc = regexp.MustCompile(`^\w+ (is|bounds) (about )?`).ReplaceAllString(docs[t.Name()], "")
	}
	return strings.ToUpper(doc[:1]) + doc[1:]
}

// openedGroups are the groups of s that the setting before it was not in.
func openedGroups(s, before setting) []string {
	return slices.DeleteFunc(s.groups(), func(g string) bool { return slices.Contains(before.groups(), g) })
}

// defaultsFile is a file with every setting at its default and its comment.
func defaultsFile(docs map[string]string) string {
	var b strings.Builder
	b.WriteString("# Every setting of Tandem at its default. Made by: tandem config defaults\n")
	var before setting
	for _, s := range settings(Default()) {
		gap := "\n"
		for _, g := range openedGroups(s, before) {
			in := indent(strings.Count(g, "."))
			fmt.Fprintf(&b, "%s%s%s%s:\n", gap, comment(in, groupDoc(docs, g)), in, lastName(g))
			gap = ""
		}
		in := indent(len(s.groups()))
		fmt.Fprintf(&b, "%s%s%s%s: %s\n", gap, comment(in, docs[s.goName]+fieldsDoc(docs, s)), in, lastName(s.key), s.yaml())
		before = s
	}
	return b.String()
}

// fieldsDoc is what the keys of a list's objects are.
func fieldsDoc(docs map[string]string, s setting) string {
	if !s.isList() || s.field.Type().Elem().Kind() != reflect.Struct {
		return ""
	}
	var b strings.Builder
	for _, f := range appendSettings(nil, reflect.New(s.field.Type().Elem()).Elem(), "") {
		fmt.Fprintf(&b, " %s: %s", f.key, docs[f.goName])
	}
	return b.String()
}

// comment breaks a text into comment lines of at most 100 characters.
func comment(indent, text string) string {
	var b strings.Builder
	line := indent + "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// reference is the page about all settings.
func reference(docs map[string]string) string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from config/config.go by: go generate ./config -->
# Configuration

A setting comes from a flag, else from the environment, else from the file given with ` + "`-c`" + ` (YAML or
TOML), else from its default. Unknown keys and unknown ` + "`TANDEM_...`" + ` variables are errors, and all errors are
reported together. An empty variable counts as not set. Relative paths are relative to the working
directory.

Sizes are bytes, or have a unit: ` + "`KiB`, `MiB`, `GiB`" + ` (powers of 1024), ` + "`KB`, `MB`, `GB`" + ` (powers of 1000).
Durations have a unit: ` + "`ms`, `s`, `m`, `h`" + `. Lists of names may be written with commas between them where
a list cannot stand (` + "`TANDEM_COMMANDS_DENY=SHUTDOWN,DEBUG`" + `), lists of objects as JSON or YAML in one line
(` + "`TANDEM_AUTH_USERS='[{name: app, password_file: /run/app}]'`" + `).

` + "`tandem config defaults`" + ` prints a file with every setting, ` + "`tandem config check`" + ` checks one, and
` + "`tandem config print`" + ` shows what is in force, without passwords.

## Changing settings

` + "`tandem reload`" + `, SIGHUP and ` + "`systemctl reload tandem`" + ` have the configuration read again, from the same file and variables. What
is wrong is reported, and then nothing changes. These take effect at once: ` + liveKeys() + `. All others need a
restart, and the answer and the log name those that have changed. The files of tokens are read again with them, and the audit log is
opened anew. Certificates, and passwords and secrets in other files, need neither: they are read again by themselves.

## All settings

| key | default | variable |
|---|---|---|
`)
	all := settings(Default())
	for _, s := range all {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | `%s` |\n", s.key, anchor(s.key), s.defaultText(), strings.Join(s.variables(), "`, `"))
	}
	b.WriteString("\n## General\n")
	for _, s := range all {
		if !strings.Contains(s.key, ".") {
			b.WriteString(s.section(docs))
		}
	}
	var before setting
	for _, s := range all {
		for _, g := range openedGroups(s, before) {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", g, groupDoc(docs, g))
		}
		if before = s; len(s.groups()) > 0 {
			b.WriteString(s.section(docs))
		}
	}
	return b.String()
}

// liveKeys are the settings that can be changed while Tandem runs.
func liveKeys() string {
	var keys []string
	for _, s := range settings(new(Config)) {
		if s.live {
			keys = append(keys, "`"+s.key+"`")
		}
	}
	return strings.Join(keys, ", ")
}

// section is what the page says about one setting.
func (s setting) section(docs map[string]string) string {
	text := "\n### " + s.key + "\n\n" + docs[s.goName] + "\n"
	if s.isList() && s.field.Type().Elem().Kind() == reflect.Struct {
		text += s.objectTable(docs)
	}
	if limits := s.limits(); limits != "" {
		text += "\n" + limits + "\n"
	}
	return text
}

// objectTable is a table of the keys of a list's objects.
func (s setting) objectTable(docs map[string]string) string {
	text := "\n| key of an element | default | |\n|---|---|---|\n"
	for _, f := range appendSettings(nil, reflect.New(s.field.Type().Elem()).Elem(), "") {
		def := "none"
		if f.def != "" {
			def = "`" + f.def + "`"
		}
		text += fmt.Sprintf("| **%s** | %s | %s |\n", f.key, def, docs[f.goName])
	}
	return text
}

// anchor is the name that a heading has in a link.
func anchor(heading string) string { return strings.ReplaceAll(heading, ".", "") }

func (s setting) defaultText() string {
	if s.def == "" {
		return "none"
	}
	return "`" + s.text() + "`"
}

// limits says what values there are.
func (s setting) limits() string {
	var parts []string
	if len(s.oneof) > 0 {
		parts = append(parts, "One of `"+strings.Join(s.oneof, "`, `")+"`.")
	}
	if len(s.later) > 0 {
		parts = append(parts, "Not available in this version: `"+strings.Join(s.later, "`, `")+"`.")
	}
	if s.lo != "" {
		parts = append(parts, "At least `"+s.lo+"`.")
	}
	if s.live {
		parts = append(parts, "[Changes](#changing-settings) while Tandem runs.")
	}
	if s.hi != "" {
		parts = append(parts, "At most `"+s.hi+"`.")
	}
	return strings.Join(parts, " ")
}
