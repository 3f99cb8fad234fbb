package docs

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tandem/config"
	"tandem/internal/history"
	"tandem/internal/hook"
	"tandem/internal/report"
	"tandem/internal/status"
	"tandem/proxy"
)

// TestNamesExist checks each name that a page gives: of a setting, of a status field, of a metric, of a
// blocker, of a check, of a reason. What looks like one must be one.
func TestNamesExist(t *testing.T) {
	known := names(t)
	looksLikeOne := regexp.MustCompile(`^[a-z][a-z0-9]*([._][a-z0-9]+)+$`)
	setting := regexp.MustCompile(`^([a-z_.]+): [^\s.]\S*$`)
	file := regexp.MustCompile(`\.(yaml|toml|jsonl?|html|md|go|service|conf|sh|log|svg|internal)$`)
	checked := 0
	for _, p := range pages(t) {
		for i, l := range p.lines {
			for _, span := range l.spans() {
				name := strings.TrimSuffix(span, "[]")
				if m := setting.FindStringSubmatch(span); m != nil {
					if _, ok := settings()[m[1]]; !ok {
						t.Errorf("%s: there is no setting %s", p.at(i), m[1])
					}
					checked++
					continue
				}
				if !looksLikeOne.MatchString(name) || file.MatchString(name) {
					continue
				}
				checked++
				if !known[name] {
					t.Errorf("%s: there is no %s", p.at(i), name)
				}
			}
		}
	}
	if checked < 200 {
		t.Errorf("only %d names found", checked)
	}
}

// TestDefaultsAreRight checks what stands in parentheses behind a setting's name: "`primary.wait` (10 s)".
func TestDefaultsAreRight(t *testing.T) {
	plain := strings.NewReplacer(" ", "", ",", "")
	told := regexp.MustCompile("`([a-z_.]+)` \\((\\d[^)]*)\\)")
	all, checked := settings(), 0
	for _, p := range pages(t) {
		for i, l := range p.lines {
			for _, m := range told.FindAllStringSubmatch(l.text, -1) {
				if def := all[m[1]]; l.code == "" && def != "" {
					checked++
					if plain.Replace(m[2]) != def {
						t.Errorf("%s: the default of %s is %s", p.at(i), m[1], def)
					}
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d defaults found", checked)
	}
}

// TestVariablesExist checks the names of environment variables, wherever they stand.
func TestVariablesExist(t *testing.T) {
	known := map[string]bool{"TANDEM_SOURCE": true, "TANDEM_TARGET": true}
	for key := range settings() {
		known["TANDEM_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
	}
	variable := regexp.MustCompile(`\bTANDEM_[A-Z_]+\b`)
	for _, p := range pages(t) {
		for i, l := range p.lines {
			for _, name := range variable.FindAllString(l.text, -1) {
				if !known[name] {
					t.Errorf("%s: there is no variable %s", p.at(i), name)
				}
			}
		}
	}
}

// TestTroubleHasEverything: whoever is shown a name at night must find it in the guide.
func TestTroubleHasEverything(t *testing.T) {
	guide := read(t, "docs/guide-trouble.md")
	want := map[string][]string{
		"blocker":         blockers(t),
		"reason to close": closeReasons(),
	}
	for what, list := range want {
		for _, name := range list {
			if !strings.Contains(guide, "`"+name+"`") {
				t.Errorf("%s %s is not in guide-trouble.md", what, name)
			}
		}
	}
	kinds := find(t, "backfill/suspect.go", `(?m)^\s+kind\w+\s+= "([a-z-]+)"`)
	for _, kind := range kinds {
		if !strings.Contains(guide, "`"+kind+"`") {
			t.Errorf("difference %s is not in guide-trouble.md", kind)
		}
	}
	for _, code := range []string{"0", "1", "2", "3", "4"} {
		if !strings.Contains(guide, "\n| "+code+" |") {
			t.Errorf("exit status %s is not in guide-trouble.md", code)
		}
	}
	if len(want["blocker"]) < 10 || len(kinds) < 10 {
		t.Errorf("only %d blockers, %d kinds of differences found in the code", len(want["blocker"]), len(kinds))
	}
}

// TestTroubleHasEveryWarning: what is worth a warning in the log is worth a line in the guide.
func TestTroubleHasEveryWarning(t *testing.T) {
	guide := read(t, "docs/guide-trouble.md")
	warning := regexp.MustCompile(`(?:\b[lL]og\.(?:Warn|Error)\(|\.failed\([\w.]*[lL]og, )"([^"]+)"`)
	parts := regexp.MustCompile(`"\s*\+\s*"`) // of a text that is longer than a line
	found := 0
	for _, dir := range []string{"migration", "proxy", "backfill"} {
		for _, m := range warning.FindAllStringSubmatch(parts.ReplaceAllString(sourceOf(t, dir), ""), -1) {
			found++
			if !strings.Contains(guide, "`"+m[1]+"`") {
				t.Errorf("what to do about the log line %q is not in guide-trouble.md", m[1])
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d warnings found in the code", found)
	}
}

// TestTroubleHasEverySweep: why all keys are compared stands in a blocker, and the guide says what to do about it. Of
// a reason that is put together, what comes first is looked for.
func TestTroubleHasEverySweep(t *testing.T) {
	guide := read(t, "docs/guide-trouble.md")
	reason := regexp.MustCompile(`(?:\bOweSweep|\.owe)\((?:\w+\.String\(\)\+)?"([^"]+)"`)
	abridged := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`]+) \\.\\.\\.`").FindAllStringSubmatch(guide, -1) {
		abridged[m[1]] = true
	}
	found := 0
	for _, dir := range []string{"migration", "proxy", "internal/ledger"} {
	reasons:
		for _, m := range reason.FindAllStringSubmatch(sourceOf(t, dir), -1) {
			found++
			text := strings.TrimRight(strings.TrimSpace(m[1]), ":(")
			for begin := range abridged {
				if strings.HasPrefix(text, begin) {
					continue reasons
				}
			}
			if !strings.Contains(guide, text) {
				t.Errorf("%s: the sweep's reason %q is not in guide-trouble.md", dir, text)
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d reasons found in the code", found)
	}
}

// TestTroubleLeadsThroughEveryAlert: who is woken by one must find where to look, what to do, and when it is over.
func TestTroubleLeadsThroughEveryAlert(t *testing.T) {
	guide := read(t, "docs/guide-trouble.md")
	alerts := find(t, "deploy/prometheus/alerts.yaml", `- alert: (\w+)`)
	if len(alerts) < 15 {
		t.Fatalf("only %d alerts found", len(alerts))
	}
	for _, name := range alerts {
		_, section, _ := strings.Cut(guide, "\n### "+name+"\n")
		section, _, _ = strings.Cut(section, "\n#")
		for _, part := range []string{"\n- **Look:** ", "\n- **Do:** ", "\n- **Over when:** "} {
			if !strings.Contains(section, part) {
				t.Errorf("alert %s has no %q in guide-trouble.md", name, strings.TrimSpace(part))
			}
		}
	}
}

// TestMigrationExplainsEveryCheck: the report of a precheck names items, and the guide says more of each.
func TestMigrationExplainsEveryCheck(t *testing.T) {
	guide := read(t, "docs/guide-migrate.md")
	checks := find(t, "internal/precheck/checks.go", `\{name: "([a-z_]+)"`)
	if len(checks) < 14 {
		t.Fatalf("only %d checks found", len(checks))
	}
	for _, name := range checks {
		if !strings.Contains(guide, "\n| `"+name+"`") {
			t.Errorf("check %s is not explained in guide-migrate.md", name)
		}
	}
}

// names are all that a page may name.
func names(t *testing.T) map[string]bool {
	known := map[string]bool{}
	for key := range settings() {
		known[key] = true
	}
	statusFields(known, reflect.TypeFor[status.Status](), "")
	statusFields(known, reflect.TypeFor[report.Report](), "")
	statusFields(known, reflect.TypeFor[hook.Message](), "")
	for _, m := range regexp.MustCompile(`Kind: journal\.Fault, Name: "([a-z_]+)"`).FindAllStringSubmatch(sourceOf(t, "migration"), -1) {
		known[m[1]] = true
	}
	for _, m := range metrics(t) {
		known[m.name] = true
	}
	for _, name := range slices.Concat(blockers(t), closeReasons()) {
		known[name] = true
	}
	for _, name := range find(t, "internal/precheck/checks.go", `\{name: "([a-z_]+)"`) {
		known[name], known["source_"+name], known["target_"+name] = true, true, true
	}
	for _, name := range slices.Concat(find(t, "internal/trace/otlp.go", `(?:\btexts?\(|\bnumber\(|\{)"([a-z_]+\.[a-z_.]+)"`),
		find(t, "internal/trace/command.go", `= "([a-z_]+)"`), find(t, "internal/admin/steps.go", `AuditUnwritable = "([a-z_]+)"`),
		find(t, "internal/audit/audit.go", "json:\"([a-z_]+)")) {
		known[name] = true
	}
	for _, name := range history.Columns() {
		known[name] = true
	}
	// Fields of other answers of the API, of INFO, metrics of the Go client and a label that Prometheus makes.
	for _, name := range []string{"pause_ms", "key_base64", "exported_instance", "left_out", "last_event", "checked_at", "evicted_keys", "latest_fork_usec",
		"process_resident_memory_bytes", "process_cpu_seconds_total", "go_gc_duration_seconds"} {
		known[name] = true
	}
	return known
}

// settings are the defaults by the configuration's keys, groups included.
func settings() map[string]string {
	keys := map[string]string{}
	var add func(t reflect.Type, prefix string)
	add = func(t reflect.Type, prefix string) {
		for i := range t.NumField() {
			f := t.Field(i)
			key := prefix + f.Tag.Get("key")
			keys[key] = f.Tag.Get("default")
			switch {
			case f.Type.Kind() == reflect.Struct:
				add(f.Type, key+".")
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				add(f.Type.Elem(), "") // by the names that they have in their objects
			}
		}
	}
	add(reflect.TypeFor[config.Config](), "")
	return keys
}

// statusFields adds the names of the status' fields, as jq would name them.
func statusFields(into map[string]bool, t reflect.Type, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("json")
		into[name] = true
		switch {
		case f.Type.Kind() == reflect.Slice:
			statusFields(into, f.Type.Elem(), name+"[].")
		case f.Type.Kind() == reflect.Struct && !strings.HasPrefix(f.Type.Name(), "Optional"):
			statusFields(into, f.Type, name+".")
		}
	}
}

// blockers are the codes in the source of package migration, which makes them.
func blockers(t *testing.T) (codes []string) {
	t.Helper()
	source := sourceOf(t, "migration")
	constants := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:const |\t)(\w+) += "([a-z_]+)"$`).FindAllStringSubmatch(source, -1) {
		constants[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile(`(?:\badd\(|\bCode:\s*)(?:"([a-z_]+)"|(\w+)),`).FindAllStringSubmatch(source, -1) {
		if code := m[1] + constants[m[2]]; code != "" {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// sourceOf is a package's source, without tests.
func sourceOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var b strings.Builder
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		file, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(read(t, file))
	}
	return b.String()
}

func closeReasons() (all []string) {
	for _, r := range proxy.CloseReasons() {
		all = append(all, r.String())
	}
	return all
}

// find returns what a pattern's group matches in a file.
func find(t *testing.T, path, pattern string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, path), -1) {
		all = append(all, m[1])
	}
	return all
}
